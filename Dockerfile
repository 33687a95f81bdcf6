# SPDX-License-Identifier: Apache-2.0
# The host daemon, the OCI runtime and the operator's command, built from this checkout.
#   docker build -t teemate .
#   docker run -d --pid=host --cap-add=SYS_PTRACE --cap-add=LEASE --network=none \
#       -v /run/teemate:/run/teemate -v /etc/teemate:/etc/teemate -v /var/lib/teemate:/var/lib/teemate teemate
# Containers are started by the host's teemate-runtime, which must come from the same commit.
FROM debian:12-slim AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends binutils gcc libc6-dev make musl-tools python3.11 python3.11-venv \
    && rm -rf /var/lib/apt/lists/*
COPY . /opt/teemate
WORKDIR /opt/teemate
RUN make -o setup build

FROM debian:12-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3.11 runc \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/teemate /opt/teemate
ENV PATH=/opt/teemate/.venv/bin:$PATH
ENTRYPOINT ["teemate-hostd"]
CMD ["--config", "/etc/teemate/hostd.yaml"]
