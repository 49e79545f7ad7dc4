# syntax=docker/dockerfile:1
# One image: `docker build .`, then as a Cloud Run job `ingestor run`.

FROM python:3.11-slim AS build
WORKDIR /src
# The build compiles proto/*.proto with the pinned protoc, so the wheel carries code that fits them.
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY ingestor ingestor
COPY state state
COPY ops ops
COPY proto proto
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.11-slim
RUN useradd --system --uid 10001 ingestor
COPY requirements/runtime.txt /tmp/runtime.txt
RUN pip install --no-cache-dir --require-hashes --requirement /tmp/runtime.txt && rm /tmp/runtime.txt
COPY --from=build /wheels /tmp/wheels
RUN pip install --no-cache-dir --no-deps /tmp/wheels/*.whl && rm -r /tmp/wheels
USER ingestor
ENTRYPOINT ["ingestor"]
CMD ["run"]
