// TLS 1.3 with an external pre-shared key (RFC 8446 section 4.2.11, RFC 9257) and ephemeral key
// exchange (psk_dhe_ke): both sides prove that they know the key, and a key that leaks later does
// not decrypt earlier recordings. No certificates.
#pragma once

#include <memory>

#include "config/key_file.hpp"
#include "net/link/transport.hpp"

namespace backedpipe {

// Throws std::runtime_error when OpenSSL cannot be set up.
std::unique_ptr<TransportFactory> make_psk_client_factory(KeyEntry key);
std::unique_ptr<TransportFactory> make_psk_server_factory(KeyFile keys);

}  // namespace backedpipe
