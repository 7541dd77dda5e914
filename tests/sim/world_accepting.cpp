// World: what the server does with connections.
#include <utility>

#include "world.hpp"
#include "world_limits.hpp"

namespace backedpipe::sim {

World::End* World::find_session(const SessionId& id) {
  for (const auto& end : sessions_) {
    if (!end->over && end->session().id() == id) return end.get();
  }
  return nullptr;
}

World::End* World::open_session(const Hello& hello) {
  say("server: opens the session");
  auto pump = make_pump({.id = hello.session, .role = Role::server, .service = hello.service},
                        *server_memory_, plan_.server);
  registry_->add(hello.session, kIdentity, hello.service, now_);
  End* const end = new_server_end();
  end->pump = std::move(pump);
  return end;
}

// Dials the target.
World::End* World::new_server_end() {
  sessions_.push_back(std::make_unique<End>());
  End* const end = sessions_.back().get();
  end->side = Side::server;
  dial_target(*end);
  return end;
}

void World::dial_target(End& end) {
  applications_.push_back(std::make_unique<Application>(Side::server, plan_.server_script, random_,
                                                        now_, points(Side::server)));
  applications_.back()->meet(client_.application);
  if (healed_) applications_.back()->hurry();
  end.application = applications_.back().get();
  (plan_.target == Plan::Target::refuses_later ? end.target_refuses_at : end.connects_at) =
      now_ + plan_.target_takes;
}

void World::refuse(Accepted& accepted, Reason reason) {
  say("server: refuses: " + std::string(backedpipe::name(reason)));
  accepted.refused = true;
  accepted.handshake.answer(Refused{.reason = reason, .text = "no"});
}

void World::answer(Accepted& accepted) {
  const Hello& hello = accepted.handshake.hello();
  if (now_ < refuses_for_now_until_) {
    return refuse(accepted, random_.chance(50) ? Reason::overloaded : Reason::shutting_down);
  }
  const auto decision = registry_->decide(hello, kIdentity, Reason::none);
  if (decision.verdict == SessionRegistry::Verdict::refuse)
    return refuse(accepted, decision.reason);
  const bool created = decision.verdict == SessionRegistry::Verdict::open;
  require(!decision.to_evict, "sessions are forgotten", "one is to be evicted");
  if (created && plan_.target == Plan::Target::refuses_at_once) {
    the_target_has_refused_ = true;
    return refuse(accepted, Reason::target_refused);
  }
  End* end = created ? open_session(hello) : find_session(hello.session);
  require(end != nullptr, "sessions are forgotten", "the registry knows one that is not there");
  const std::uint64_t older = end->link ? end->link_generation : 0;
  auto link = std::make_unique<SimLink>(
      accepted.wire, Side::server,
      SimLink::Owner{end->session(), *end->application, points(Side::server)}, random_, now_);
  link->expect_welcome(hello);
  link->set_drained(random_.chance(50));
  const auto attached = end->pump->attach(*link, hello, created, {}, now_);
  if (!attached) {
    end->due = true;
    return refuse(accepted, reason_of(attached.error()).value_or(Reason::shutting_down));
  }
  require(hello.generation > end->attached_generation, "generations grow",
          "the server accepts an old one");
  say("server: attached generation " + std::to_string(hello.generation));
  if (!hello.open) end->heard = true;
  drop_link(*end);
  accepted.wire->server_application = end->application;
  accepted.wire->taps[1].begin(hello.position);
  adopt(*end, std::move(link), hello.generation);
  accepted.over = true;
  run(*end);
  require(end->closed_generation >= older, "one link at a time", "the older link was not closed");
}

bool World::pump_accepted(Accepted& accepted) {
  bool progress = false;
  Link& link = accepted.wire->link;
  while (!accepted.over && !accepted.handshake.complete()) {
    const ConstBytes bytes = link.readable(Side::server, now_);
    if (bytes.empty()) break;
    ConstBytes piece = bytes.first(random_.between(1, bytes.size()));
    const std::size_t given = piece.size();
    require(accepted.handshake.receive(piece).has_value(), "handshakes are understood",
            "the server's");
    link.take(Side::server, given - piece.size());
    progress = true;
    if (accepted.handshake.complete()) answer(accepted);
  }
  if (accepted.over) return progress;
  if (accepted.refused) {
    while (!accepted.handshake.outgoing().empty()) {
      const std::size_t count = link.write(Side::server, accepted.handshake.outgoing(), now_);
      if (count == 0) break;
      accepted.handshake.sent(count);
      progress = true;
    }
  }
  const bool flushed = accepted.refused && accepted.handshake.outgoing().empty();
  if (flushed || now_ >= accepted.gives_up_at || link.over(Side::server, now_)) {
    link.close(Side::server, now_);
    accepted.over = true;
    progress = true;
  }
  return progress;
}

}  // namespace backedpipe::sim
