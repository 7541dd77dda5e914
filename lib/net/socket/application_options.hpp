// The socket options of an application's connection and of a target's. Linux has all of them. On
// other systems a missing option is left out, and the connection works without it.
#pragma once

#include <optional>

#include "pipe/time.hpp"

namespace backedpipe {

// - Small writes go out at once.
// - The connection is reset when it is closed, until ApplicationSocket::close() says otherwise: the
//   kernel closes the sockets of a process that was killed, and an application must not take that
//   for the end of its data.
// - With `keepalive`, the connection fails when the application's system has answered nothing for
//   about that long while nothing was sent to it (TCP keepalive, RFC 9293 section 3.8.4). That
//   system, or the connection, is gone. ApplicationWatch covers bytes under way.
//
// On a listening socket the options count for all connections that it accepts from now on, before
// they are accepted, and without a system call for each. No effect on a Unix socket.
void prepare_application_socket(int socket, std::optional<Duration> keepalive);

}  // namespace backedpipe
