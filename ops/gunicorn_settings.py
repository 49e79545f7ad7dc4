"""How gunicorn serves both HTTP services: `gunicorn --config python:ops.gunicorn_settings 'ingestor.web:create_app()'`.

One worker, because runs of one lane exclude each other anyway and a second process would only double the memory;
threads so that overlapping ticks and health checks are answered while a run works. gunicorn itself binds to all
addresses on `$PORT`, which Cloud Run and the image set. The worker is forked before anything of Google's is imported
(no preload): gRPC clients that are older than a fork hang.
"""

workers = 1
worker_class = "gthread"
threads = 8
timeout = 0
"""No watchdog: a run may take as long as its request, and Cloud Run ends that."""
graceful_timeout = 8
"""Cloud Run gives ten seconds between SIGTERM and SIGKILL; a run settles what it can within five."""
keepalive = 5
preload_app = False
worker_tmp_dir = "/dev/shm"  # noqa: S108 - the heartbeat file, in memory: the root may be read-only
control_socket_disable = True
"""It would be a file in the home directory, which the image does not have."""
accesslog = None
"""Cloud Run logs requests; our own lines say what came of them."""
errorlog = "-"
loglevel = "warning"
