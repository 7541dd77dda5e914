# The machine to log in to, for compose.yaml.
FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends openssh-server \
 && rm -rf /var/lib/apt/lists/* \
 && install -d /run/sshd
# StrictModes=no: authorized_keys belongs to the user who made it outside of the container.
CMD ["/usr/sbin/sshd", "-D", "-e", "-o", "StrictModes=no", "-o", "UsePAM=no"]
