# The image of backedpipd. Settings and keys come from outside, see config/docker/compose.yaml.
FROM debian:bookworm-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends \
      g++ cmake ninja-build pkg-config libssl-dev libspdlog-dev nlohmann-json3-dev prometheus-cpp-dev \
      libncurses-dev libboost1.81-dev libboost-program-options1.81-dev
COPY . /source
WORKDIR /source
RUN cmake --preset package \
 && cmake --build --preset package \
 && DESTDIR=/installed cmake --install build/package --component daemon --strip

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends libboost-program-options1.81.0 libspdlog1.10 libprometheus-cpp-core1.0 libssl3 \
      libncursesw6 \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/* \
 # Key files have to belong to this user id, or to the one given with --user.
 && groupadd --gid 7700 backedpipd \
 && useradd --uid 7700 --gid 7700 --no-create-home --home-dir / --shell /usr/sbin/nologin backedpipd \
 && install -d -o 7700 -g 7700 -m 0755 /run/backedpipd
COPY --from=build /installed/usr/sbin/backedpipd /usr/sbin/
COPY --from=build /installed/usr/bin/backedpipctl /usr/bin/
USER backedpipd
# The daemon writes nothing but its control socket: a read-only root needs a tmpfs for /run/backedpipd.
# Status 4 (a peer is down) still counts as healthy: a restarted daemon would lose its sessions.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD backedpipctl status || [ $? = 4 ]
# A daemon that dies is started again within the container.
ENTRYPOINT ["backedpipd", "--supervise"]
CMD ["--config", "/etc/backedpipd/backedpipd.json"]
