// TLS 1.3 with certificates on both sides. Each side accepts certificates from the CAs of its own
// file only, and only those that say that they are meant for the other side's role, so that a
// client cannot pose as the server. A client also checks whom the server's certificate is for; a
// server takes the client's identity from the client's certificate (see identity_of).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "net/link/tls/certificate_files.hpp"
#include "net/link/transport.hpp"

namespace backedpipe {

// The server's certificate must be for one of `names`, of which there is at least one. `ca_file` is
// for messages. Both throw std::runtime_error when OpenSSL does not take the credentials.
std::unique_ptr<TransportFactory> make_certificate_client_factory(const Credentials& credentials,
                                                                  const std::string& ca_file,
                                                                  std::vector<std::string> names);
std::unique_ptr<TransportFactory> make_certificate_server_factory(const Credentials& credentials,
                                                                  const std::string& ca_file);

}  // namespace backedpipe
