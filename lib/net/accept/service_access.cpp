#include "net/accept/service_access.hpp"

namespace backedpipe {

ServiceAccess access_to(const std::vector<ServiceSettings>& services, const AcceptSettings& accept,
                        std::string_view identity, std::string_view service) {
  ServiceAccess access{find_named(services, service), Reason::none};
  // Which services exist is told only to clients that may use all of them, and to every client of a
  // listener without security. All others get the same answer for a missing and for a forbidden
  // service.
  const bool may_know = accept.security == Security::none || accept.allows(identity, kAnyName);
  if (access.service == nullptr && may_know) {
    access.verdict = Reason::unknown_service;
  } else if (access.service == nullptr || !accept.allows(identity, service)) {
    access.verdict = Reason::not_authorised;
  }
  return access;
}

Refusals::Wording wording_for(Reason reason, const ServiceAccess& access, const Hello& hello,
                              const std::string& identity) {
  Refusals::Wording wording;
  if (reason == Reason::unknown_service) {
    wording.text = "no service named \"" + hello.service + "\"";
  } else if (reason == Reason::shutting_down) {
    wording.text = "the server is being drained";
  } else if (reason == Reason::not_authorised) {
    wording.text = hello.open ? "\"" + identity + "\" may not use service \"" + hello.service + "\""
                              : "the session belongs to another identity";
  }
  if (access.verdict == Reason::not_authorised && access.service == nullptr) {
    wording.log_only = " (there is no such service)";
  }
  return wording;
}

}  // namespace backedpipe
