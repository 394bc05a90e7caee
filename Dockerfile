# Beckon's images: `broker` (with beckonctl, which also migrates the schema), `connector` and `apns-simulator`.
# The runtime packages are checked against what the programs link by tests/docker/check_runtime_libs.sh.

FROM debian:bookworm-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends \
        cmake \
        gcc \
        libc6-dev \
        libconfig-dev \
        libcurl4-openssl-dev \
        libjansson-dev \
        libjwt-dev \
        libmicrohttpd-dev \
        libnghttp2-dev \
        libpq-dev \
        libssl-dev \
        libsystemd-dev \
        libxxhash-dev \
        libzmq3-dev \
        ninja-build \
        pkg-config \
    && rm -rf /var/lib/apt/lists/*
COPY . /src
WORKDIR /src
RUN cmake --preset release -DCMAKE_INSTALL_PREFIX=/usr \
    && cmake --build --preset release \
    && DESTDIR=/out cmake --install build/release --strip

FROM debian:bookworm-slim AS runtime
RUN apt-get update && apt-get install -y --no-install-recommends \
        ca-certificates \
        libconfig9 \
        libcurl4 \
        libjansson4 \
        libjwt0 \
        libmicrohttpd12 \
        libnghttp2-14 \
        libpq5 \
        libssl3 \
        libsystemd0 \
        libxxhash0 \
        libzmq5 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin beckon \
    && install -d -o beckon -g beckon -m 0700 /var/lib/beckon/keys /var/lib/beckon/apns
COPY --from=build /out/usr/ /usr/
USER beckon

FROM runtime AS broker
COPY etc/docker/broker.conf /etc/beckon/broker.conf
EXPOSE 7400 7480
ENTRYPOINT ["/usr/bin/beckon-broker", "--config", "/etc/beckon/broker.conf"]

FROM runtime AS apns-simulator
EXPOSE 2197 2198
ENTRYPOINT ["/usr/bin/apns-simulator", "--set", "listen.address=0.0.0.0", "--set", "control.address=0.0.0.0", \
            "--set", "tls.directory=/var/lib/beckon/apns", "--set", "auth.directory=/var/lib/beckon/apns", \
            "--set", "auth.min_token_interval_s=0"]

FROM runtime AS connector
COPY etc/docker/connector.conf /etc/beckon/connector.conf
EXPOSE 1883 8083 8084 8883
ENTRYPOINT ["/usr/bin/beckon-connector", "--config", "/etc/beckon/connector.conf"]
