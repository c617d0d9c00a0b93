# The service and the command line that goes with it, without PyTorch, a compiler or pandas. docs/containers.md says more.
ARG BASE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE} AS build
ARG SOURCE_DATE_EPOCH=0
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1 PYTHONHASHSEED=0
# Debian replaces versions in place, so a pinned one could soon not be installed; nothing of this stage is in the image.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev binutils && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY docker/build.lock docker/serve.lock ./
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=authorities,target=/run/authorities.pem \
    python3 -m venv tools && tools/bin/pip install --no-deps --require-hashes -r build.lock \
    && tools/bin/pip wheel --no-deps --no-build-isolation --require-hashes -r serve.lock -w wheels
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN tools/bin/pip wheel --no-deps --no-build-isolation . -w wheels \
    && python3 -m venv --without-pip /opt/windcast \
    && tools/bin/pip --python /opt/windcast/bin/python install --no-compile --no-index --no-deps wheels/*.whl
COPY docker/slim.py docker/lapack.c ./
RUN python3 slim.py /opt/windcast lapack.c

FROM ${BASE}
ARG SOURCE_DATE_EPOCH=0
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="windcast-serve" \
      org.opencontainers.image.description="Calibrated probabilistic wind power forecasts over HTTP" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# LightGBM's threads; not pinned for the reason above. What apt and ldconfig note down about the time is taken out.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt /var/cache/ldconfig/* /var/log/* \
    && mkdir -m 0755 /models /keys \
    && install -d -o 10001 -g 10001 -m 0755 /data
COPY --from=build /opt/windcast /opt/windcast
ENV PATH=/opt/windcast/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp MPLCONFIGDIR=/tmp/matplotlib WINDCAST_STORE=/data/windcast.db
WORKDIR /data
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python3", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/ready', timeout=2)"]
ENTRYPOINT ["windcast"]
CMD ["serve", "/models", "--host", "0.0.0.0", "--keys", "/keys/keys.json"]
