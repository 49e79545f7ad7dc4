# syntax=docker/dockerfile:1
# One image for everything: the run service (as it is), the operators' service and the job (other arguments, see
# ops/terraform/ingestor). It runs with a read-only root: docker run --read-only --tmpfs /tmp …
#
# checkov:skip=CKV_DOCKER_7:the tag stands in the ARG, and delivery passes a digest
#
# Delivery passes the base by digest (--build-arg PYTHON_IMAGE=python@sha256:…) and the digest stands in the image's label
# org.opencontainers.image.base.name, so that the same base can be had again.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
# The compiler of the protos is one of these, pinned with its hash.
COPY requirements/build.txt requirements/build.txt
RUN python -m venv /build && /build/bin/pip install --no-cache-dir --no-deps --require-hashes --requirement requirements/build.txt
# The lock files are complete, so nothing is resolved (pip would refuse an extra that has no line of its own).
# An environment without pip: the image cannot install anything into itself.
COPY requirements/runtime.txt requirements/runtime.txt
RUN python -m venv --without-pip /app && \
    /build/bin/pip --python /app/bin/python install --no-cache-dir --no-deps --require-hashes --requirement requirements/runtime.txt
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY ingestor ingestor
COPY state state
COPY ops ops
COPY proto proto
RUN /build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels . && \
    /build/bin/pip --python /app/bin/python install --no-cache-dir --no-deps /wheels/*.whl

FROM ${PYTHON_IMAGE}
ARG PYTHON_IMAGE
LABEL org.opencontainers.image.title="bigquery-batch-ingestor" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="${PYTHON_IMAGE}"
RUN useradd --system --uid 10001 --no-create-home --home-dir /nonexistent ingestor
COPY --from=build /app /app
ENV PATH=/app/bin:$PATH \
    PORT=8080 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
    CMD ["sh", "-c", "exec python -m ops.health $PORT"]
CMD ["gunicorn", "--config", "python:ops.gunicorn_settings", "ingestor.web:create_app()"]
