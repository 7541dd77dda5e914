#include "net/accept/acceptor.hpp"

#include <algorithm>
#include <utility>
#include <variant>

#include "net/accept/service_access.hpp"
#include "net/clock.hpp"
#include "net/link/graceful_close.hpp"
#include "pipe/invariant.hpp"

namespace backedpipe {

Acceptor::Acceptor(WorkerContext& worker, SessionTable& sessions)
    : SessionHolder(worker.io()),
      worker_(worker),
      sessions_(sessions),
      targets_(worker, sessions),
      listeners_(worker,
                 [this](const std::shared_ptr<LinkListener>& listener, StreamSocket socket) {
                   handshakes_.begin(listener, std::move(socket));
                 }),
      handshakes_(worker, *this, refusals_,
                  [this](const LinkListener& listener, HeardLink link) {
                    heard(listener, std::move(link));
                  }),
      waiting_links_([this](const LinkListener& listener, HeardLink link) {
        heard(listener, std::move(link));
      }) {}

// --- settings

Acceptor::Plan Acceptor::plan(const Settings& settings, const LinkListeners::Securities& security,
                              ListeningSockets& sockets) const {
  return {settings.limits.spare_links, settings.services,
          listeners_.plan(settings, security, sockets)};
}

void Acceptor::use(Plan plan) {
  services_ = std::move(plan.services);
  waiting_links_.limit(plan.spare_links);
  // Links that authenticated under the old settings have not done so under the new ones.
  waiting_links_.close_all();
  listeners_.use(std::move(plan.listeners));
}

void Acceptor::start() {
  listeners_.start();
}

void Acceptor::drain() {
  if (accepts_ == Accepts::everything) accepts_ = Accepts::resumes_only;
  waiting_links_.close_all();
}

void Acceptor::stop() {
  accepts_ = Accepts::nothing;
  waiting_links_.close_all();
  sessions_.abandon_all();
}

void Acceptor::park(Duration grace) {
  accepts_ = Accepts::nothing;
  listeners_.leave();
  waiting_links_.close_all();
  sessions_.park_all(grace);
}

// --- links

void Acceptor::heard(const LinkListener& listener, HeardLink link) {
  if (accepts_ == Accepts::nothing) {
    return refusals_.refuse(std::move(link), Reason::shutting_down,
                            {.text = "the server is being stopped"});
  }
  const std::string identity(link.transport->identity());
  const ServiceAccess access =
      access_to(services_, listener.settings, identity, link.hello.service);
  const SessionDirectory::Ruling ruling = worker_.shared().directory.rule(
      link.hello, identity, access.verdict, *this, accepts_ == Accepts::resumes_only, steady_now());
  if (const auto* const refuse = std::get_if<SessionDirectory::Refuse>(&ruling)) {
    const auto wording = wording_for(refuse->reason, access, link.hello, identity);
    return refusals_.refuse(std::move(link), refuse->reason, wording);
  }
  if (const auto* const found = std::get_if<SessionDirectory::Resume>(&ruling)) {
    if (&found->holder == this) return resume(std::move(link));
    if (found->holder.take_over(std::move(link))) ++links_handed_over_;
    return;
  }
  invariant(access.service != nullptr);
  open(listener, *access.service, std::move(link));
}

void Acceptor::open(const LinkListener& listener, const ServiceSettings& service, HeardLink link) {
  const auto driver = sessions_.open(
      {.supply = nullptr, .keeper = *this},
      {.id = link.hello.session, .role = Role::server, .service = link.hello.service},
      {.service = link.hello.service,
       .tunnel = {},
       .peer = {},
       .identity = std::string(link.transport->identity()),
       .listener = to_string(listener.listener->address())},
      to_string(service.target));
  attach(*driver, std::move(link), true);
  // Not if the client has reset the session at once.
  targets_.dial(driver, service.target);
}

std::optional<std::string> Acceptor::restore(Recovered recovered, SessionLabels labels,
                                             std::optional<StreamSocket> application) {
  const SessionId id = recovered.session.id;
  const std::string identity = labels.identity;
  const std::string service = labels.service;
  std::string why;
  auto driver = sessions_.restore({.supply = nullptr, .keeper = *this}, std::move(recovered),
                                  std::move(labels), std::move(application), why);
  if (!driver) return why;
  worker_.shared().directory.restore(id, identity, service, *this, steady_now());
  restored_.push_back(std::move(driver));
  return std::nullopt;
}

void Acceptor::resume_restored(LedgerFile* turns) {
  for (const auto& driver : std::exchange(restored_, {})) {
    const LedgerFile::Turn turn(turns, driver->session().id());
    driver->resume();
    if (driver->has_application() || driver->session().application_done()) continue;
    // It was being dialled: nothing has been read from it or written to it.
    const auto service = std::find_if(
        services_.begin(), services_.end(),
        [&](const ServiceSettings& each) { return each.name == driver->session().service(); });
    if (service == services_.end()) {
      driver->reset(Reason::unknown_service);
    } else {
      targets_.dial(driver, service->target);
    }
  }
}

void Acceptor::resume(HeardLink link) {
  const SessionId& id = link.hello.session;
  if (const auto driver = sessions_.find(id)) return attach(*driver, std::move(link), false);
  // The session ended during the hand-over, and the directory knows the reason.
  const Reason end = accepts_ == Accepts::nothing
                         ? Reason::shutting_down
                         : worker_.shared().directory.end_of(id, link.transport->identity());
  refusals_.refuse(std::move(link), end, {});
}

void Acceptor::attach(SessionDriver& driver, HeardLink link, bool created) {
  auto left = driver.attach(std::move(link.transport), link.hello, created, link.early);
  if (!left) return;
  link.transport = std::move(left->link);
  refusals_.refuse(std::move(link), reason_of(left->error).value_or(Reason::unknown_session), {});
}

void Acceptor::released(std::unique_ptr<Transport> link, SessionDriver&) {
  const auto listener = listeners_.find_by(*link);
  if (accepts_ != Accepts::everything || !listener) return close_gracefully(std::move(link));
  waiting_links_.keep(listener, std::move(link));
}

// --- what other workers ask

void Acceptor::expire_here(const SessionId& session) {
  if (const auto driver = sessions_.find(session)) driver->reset(Reason::expired);
}

}  // namespace backedpipe
