# One small image per process, selected by --target user|follower|message|gateway|minitwit.
#
#   docker build --target gateway --tag minitwit-gateway .
#
# Images can also be built from existing binaries. A folder `image` then has one subfolder for each
# image, with the binary and its dynamic libraries at their paths in the container
# (image/gateway/minitwit-gateway, …).
#
#   with BuildKit      docker build --build-context build=FOLDER --target gateway .
#                      (FOLDER contains `image`, and an empty folder `data` for `minitwit`)
#   without BuildKit   use a context with `image`, and --build-arg TOOLCHAIN=IMAGE with any image
#                      that has a shell, because the older builder runs all stages up to the target.

ARG TOOLCHAIN=rust:1.95-bookworm

FROM ${TOOLCHAIN} AS build
# Use the toolchain of the image, because rust-toolchain.toml demands further components that only
# developers need.
ENV RUSTUP_TOOLCHAIN=1.95.0 CARGO_TERM_COLOR=never
WORKDIR /src
COPY . .
# The target is set although it is the host, so that RUSTFLAGS apply to the binaries and not to the
# build scripts. The binaries are linked statically, so the images need no system libraries.
RUN set -eu; \
    mkdir -p /data; \
    if [ -d image ]; then cp -R image /image; exit 0; fi; \
    target=$(rustc --print host-tuple); \
    RUSTFLAGS='-C target-feature=+crt-static' cargo build --locked --profile dist --target "$target" \
        --package minitwit --package minitwit-user --package minitwit-follower \
        --package minitwit-message --package minitwit-gateway --bins; \
    for name in user follower message gateway; do \
        install -D "target/$target/dist/minitwit-$name" "/image/$name/minitwit-$name"; \
    done; \
    install -D "target/$target/dist/minitwit" /image/minitwit/minitwit

FROM scratch AS user
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="minitwit-user" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /image/user /
ENV SERVICE_VERSION=${VERSION} SERVICE_REVISION=${REVISION}
ENV LISTEN=0.0.0.0:5011 LISTEN_ADMIN=0.0.0.0:5021
USER 65532:65532
HEALTHCHECK --interval=2s --timeout=1s --start-period=10s --retries=3 CMD ["/minitwit-user", "health"]
ENTRYPOINT ["/minitwit-user"]

FROM scratch AS follower
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="minitwit-follower" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /image/follower /
ENV SERVICE_VERSION=${VERSION} SERVICE_REVISION=${REVISION}
ENV LISTEN=0.0.0.0:5012 LISTEN_ADMIN=0.0.0.0:5022
USER 65532:65532
HEALTHCHECK --interval=2s --timeout=1s --start-period=10s --retries=3 CMD ["/minitwit-follower", "health"]
ENTRYPOINT ["/minitwit-follower"]

FROM scratch AS message
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="minitwit-message" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /image/message /
ENV SERVICE_VERSION=${VERSION} SERVICE_REVISION=${REVISION}
ENV LISTEN=0.0.0.0:5013 LISTEN_ADMIN=0.0.0.0:5023
USER 65532:65532
HEALTHCHECK --interval=2s --timeout=1s --start-period=10s --retries=3 CMD ["/minitwit-message", "health"]
ENTRYPOINT ["/minitwit-message"]

FROM scratch AS gateway
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="minitwit-gateway" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /image/gateway /
ENV SERVICE_VERSION=${VERSION} SERVICE_REVISION=${REVISION}
ENV LISTEN_PAGES=0.0.0.0:5000 LISTEN_API=0.0.0.0:5001 LISTEN_ADMIN=0.0.0.0:5009
USER 65532:65532
HEALTHCHECK --interval=2s --timeout=1s --start-period=10s --retries=3 CMD ["/minitwit-gateway", "health"]
ENTRYPOINT ["/minitwit-gateway"]

# The whole suite in one process, on SQLite files in /data.
FROM scratch AS minitwit
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="minitwit" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /image/minitwit /
COPY --from=build --chown=65532:65532 /data /data
ENV SERVICE_VERSION=${VERSION} SERVICE_REVISION=${REVISION}
ENV LISTEN_PAGES=0.0.0.0:5000 LISTEN_API=0.0.0.0:5001 LISTEN_ADMIN=0.0.0.0:5009 DATA_DIR=/data
VOLUME /data
USER 65532:65532
HEALTHCHECK --interval=2s --timeout=1s --start-period=10s --retries=3 CMD ["/minitwit", "health"]
ENTRYPOINT ["/minitwit"]
