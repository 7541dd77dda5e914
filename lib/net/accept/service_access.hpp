// The access check for a HELLO: whether the named service exists and the client's identity may use
// it, and what the peer and the log are told if not. Free of I/O.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/settings.hpp"
#include "net/accept/refusals.hpp"
#include "proto/handshake.hpp"

namespace backedpipe {

struct ServiceAccess {
  const ServiceSettings* service = nullptr;  // null: no service has that name
  Reason verdict = Reason::none;             // none: the identity may open a session to the service
};

// The result points into `services`.
ServiceAccess access_to(const std::vector<ServiceSettings>& services, const AcceptSettings& accept,
                        std::string_view identity, std::string_view service);

Refusals::Wording wording_for(Reason reason, const ServiceAccess& access, const Hello& hello,
                              const std::string& identity);

}  // namespace backedpipe
