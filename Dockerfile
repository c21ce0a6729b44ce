# A node as an image, to run beside its Asterisk:
#
#   docker build -t teledom .
#   docker run --rm -v teledom:/srv/teledom/var teledom db upgrade
#   docker run -d --network host --stop-timeout 20 --env TELEDOM_ARI_PASSWORD \
#     -v "$PWD/config.toml:/srv/teledom/config.toml:ro" -v teledom:/srv/teledom/var teledom
#
# --network host: Asterisk and the probes are at 127.0.0.1. --stop-timeout: longer than [node] stop_s, so that calls
# give everything back. The volume holds what must survive: the journal, and the database when it is SQLite.

FROM python:3.11-slim-bookworm AS packages
COPY requirements/node.txt /tmp/node.txt
RUN python -m venv /opt/packages \
    && /opt/packages/bin/pip install --no-cache-dir --disable-pip-version-check \
        --no-deps --require-hashes --only-binary :all: -r /tmp/node.txt \
    && /opt/packages/bin/pip uninstall -qq --yes setuptools pip

FROM python:3.11-slim-bookworm
COPY --from=packages /opt/packages /opt/packages
COPY LICENSE all_cli.py board.py board_page.py codes_cli.py config.py crm_server.py health.py imports_cli.py live.py logs.py metrics.py node.py node_api.py node_live.py nodes.py quality.py quality_cli.py restarts.py running.py said.py search_cli.py serving.py settings.py sos.py sos_cli.py staff_cli.py supervisor.py teledom.py /opt/teledom/
COPY actors /opt/teledom/actors
COPY crm /opt/teledom/crm
COPY telephony /opt/teledom/telephony
COPY docs/imports /opt/teledom/docs/imports
COPY config.toml /srv/teledom/config.toml
RUN python -m compileall -q /opt/teledom \
    && useradd --system --uid 10001 --home-dir /srv/teledom --no-create-home --shell /usr/sbin/nologin teledom \
    && install -d -o teledom -g teledom -m 0750 /srv/teledom/var

ENV PATH=/opt/packages/bin:$PATH PYTHONPATH=/opt/teledom PYTHONUNBUFFERED=1 TELEDOM_CONFIG=/srv/teledom/config.toml
WORKDIR /srv/teledom
VOLUME /srv/teledom/var
USER teledom
STOPSIGNAL SIGTERM
# Alive, not ready: a node whose Asterisk is away must not be restarted for it.
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import config, http.client, os, sys; asked = http.client.HTTPConnection(config.load(os.environ['TELEDOM_CONFIG'], {}).node.http, timeout=4); asked.request('GET', '/healthz'); sys.exit(asked.getresponse().status != 200)"]
ENTRYPOINT ["python", "-m", "teledom"]
CMD ["node"]
