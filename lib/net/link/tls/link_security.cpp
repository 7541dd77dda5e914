#include "net/link/tls/link_security.hpp"

#include <stdexcept>
#include <utility>
#include <vector>

#include <spdlog/spdlog.h>

#include "config/config_error.hpp"
#include "config/key_file.hpp"
#include "net/link/tls/certificate_context.hpp"
#include "net/link/tls/certificate_files.hpp"
#include "net/link/tls/psk_context.hpp"

namespace backedpipe {
namespace {

template <class Value>
Value or_throw(Checked<Value, ConfigErrors> loaded) {
  if (!loaded) throw std::runtime_error(to_string(loaded.error()));
  return std::move(*loaded);
}

Credentials load(const CertificateFiles& files, CertificateUse use) {
  Credentials credentials = or_throw(load_credentials(files, use));
  const ExpiryReport expiry = expiry_of(credentials, files);
  for (const ConfigErrors* list : {&expiry.errors, &expiry.warnings}) {
    for (const ConfigError& problem : *list)
      spdlog::warn("{}", to_string(problem));
  }
  return credentials;
}

}  // namespace

LinkSecurity load_security(const PeerSettings& peer) {
  switch (peer.security) {
    case Security::psk: {
      KeyEntry key = or_throw(load_single_key(peer.key_file));
      std::string identity = key.identity;
      return {make_psk_client_factory(std::move(key)), std::move(identity)};
    }
    case Security::tls: {
      const Credentials credentials = load(peer.certificates, CertificateUse::client);
      std::vector<std::string> names = peer.allowed_names;
      if (names.empty()) {
        for (const Endpoint& endpoint : peer.endpoints)
          names.push_back(endpoint.host);
      }
      return {make_certificate_client_factory(credentials, peer.certificates.ca, std::move(names)),
              credentials.identity};
    }
    case Security::none:
      break;
  }
  return {make_plain_factory(), {}};
}

LinkSecurity load_security(const AcceptSettings& accept) {
  switch (accept.security) {
    case Security::psk: {
      KeyFile keys = or_throw(load_key_file(accept.key_file));
      std::optional<std::string> only;
      if (keys.entries.size() == 1) only = keys.entries.front().identity;
      return {make_psk_server_factory(std::move(keys)), {}, std::move(only)};
    }
    case Security::tls:
      return {make_certificate_server_factory(load(accept.certificates, CertificateUse::server),
                                              accept.certificates.ca),
              {},
              std::nullopt};
    case Security::none:
      break;
  }
  return {make_plain_factory(), {}, std::string()};
}

}  // namespace backedpipe
