// TLS 1.3 with certificates on both sides. Each side accepts only certificates that a CA of its own
// file has issued for the other side's role, so that a client cannot pose as the server. A client
// also checks the name in the server's certificate; a server takes the client's identity from the
// client's certificate (see identity_of).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "net/link/tls/certificate_files.hpp"
#include "net/link/transport.hpp"

namespace backedpipe {

// The server's certificate must be for one of `names` (at least one). `ca_file` appears in messages
// only. Both throw std::runtime_error when OpenSSL rejects the credentials.
std::unique_ptr<TransportFactory> make_certificate_client_factory(const Credentials& credentials,
                                                                  const std::string& ca_file,
                                                                  std::vector<std::string> names);
std::unique_ptr<TransportFactory> make_certificate_server_factory(const Credentials& credentials,
                                                                  const std::string& ca_file);

}  // namespace backedpipe
