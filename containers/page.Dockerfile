# The page of `sampt ui` for one person or a small team: docs/containers.md.
#
#     docker build -f containers/page.Dockerfile -t sampt-page .
#     docker run --rm -p 127.0.0.1:7268:7268 -v "$PWD/videos:/data" sampt-page

FROM python:3.13-slim AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE THIRD_PARTY.md ./
COPY src src
RUN python -m venv /opt/sampt \
    && /opt/sampt/bin/pip install --no-cache-dir --disable-pip-version-check '.[ui]'

FROM python:3.13-slim
COPY --from=build /opt/sampt /opt/sampt
# What it writes belongs to user 1000, as most people's own files do; `docker run --user` takes another.
RUN useradd --uid 1000 --create-home sampt \
    && install -d -o sampt -g sampt /data
ENV PATH=/opt/sampt/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    SAMPT_WEIGHTS_DIR=/data/.weights
USER 1000
WORKDIR /data
# Videos, the projects beside them, exports. Without a mount they go with the container.
VOLUME /data
EXPOSE 7268
# Without the token it refuses (401), which is how a server that works replies to a stranger.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import urllib.error, urllib.request as r, sys\ntry: r.urlopen('http://127.0.0.1:7268/', timeout=4)\nexcept urllib.error.HTTPError as e: sys.exit(e.code != 401)"]
# Beyond the container's own loopback, and so with a token: it is in the address that the log shows.
ENTRYPOINT ["sampt", "ui", "--host", "0.0.0.0", "--port", "7268", "--root", "/data", "--no-browser"]
