# Training, backtests, sweeps and promotion. LOCK=train.lock with PyTorch for CPUs, LOCK=train-gpu.lock with CUDA.
ARG BASE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE} AS build
ARG SOURCE_DATE_EPOCH=0
ARG LOCK=train.lock
# train.lock leaves PyTorch out: its CPU wheels are on an index of their own. Empty with train-gpu.lock, which has it.
ARG TORCH=torch==2.13.0
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1 PYTHONHASHSEED=0
WORKDIR /build
COPY docker/build.lock docker/${LOCK} ./
# The secrets say how pip finds packages, on a machine with settings of its own. TORCH_INDEX may be empty.
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=authorities,target=/run/authorities.pem \
    python3 -m venv tools && tools/bin/pip install --no-deps --require-hashes -r build.lock \
    && tools/bin/pip wheel --no-deps --no-build-isolation --require-hashes -r "${LOCK}" -w wheels \
    && if [ -n "${TORCH}" ]; then \
         tools/bin/pip wheel --no-deps ${TORCH_INDEX:+--index-url "${TORCH_INDEX}"} "${TORCH}" -w wheels; \
       fi
COPY pyproject.toml README.md LICENSE ./
COPY src src
# PyTorch's tests have a file in the syntax of Python 3.12.
RUN tools/bin/pip wheel --no-deps --no-build-isolation . -w wheels \
    && python3 -m venv --without-pip /opt/windcast \
    && tools/bin/pip --python /opt/windcast/bin/python install --no-compile --no-index --no-deps wheels/*.whl \
    && /opt/windcast/bin/python -m compileall -q -x torch/testing/_internal --invalidation-mode unchecked-hash \
       /opt/windcast/lib

FROM ${BASE}
ARG SOURCE_DATE_EPOCH=0
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="windcast-train" \
      org.opencontainers.image.description="Trains, tests and promotes wind power forecasters" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# Debian replaces versions in place, so a pinned one could soon not be installed. libgomp1: LightGBM's threads;
# git: run records name the revision, DVC reads it.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends git libgomp1 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt /var/cache/ldconfig/* /var/log/* \
    && install -d -o 10001 -g 10001 -m 0755 /data
COPY --from=build /opt/windcast /opt/windcast
ENV PATH=/opt/windcast/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp MPLCONFIGDIR=/tmp/matplotlib
WORKDIR /data
USER 10001:10001
# A training job listens nowhere: healthy is a command line that starts.
HEALTHCHECK --interval=60s --timeout=20s --retries=3 CMD ["windcast", "--help"]
ENTRYPOINT ["windcast"]
CMD ["--help"]
