// World: a daemon is killed, and the next process continues its sessions from what is left: the
// ledger, the outbound bytes, the applications' connections and what the system has counted of them.
#include <utility>

#include "world.hpp"
#include "world_limits.hpp"

namespace backedpipe::sim {

// The daemon is told to end, and leaves its sessions to the next process.
void World::park(Side side, const Plan::Kill::Parking& parking_of_plan) {
  if (parks(side)) return;
  ++parkings_;
  wake(side);
  parking(side) = {.until = now_ + kPartsFor, .away = parking_of_plan.away};
  const auto park = [&](End& end) {
    if (end.over) return;
    end.pump->park(parking_of_plan.grace, now_);
    run(end);
  };
  if (side == Side::client) {
    if (!client_ended_) park(client_);
    return;
  }
  for (const auto& end : sessions_)
    park(*end);
}

void World::kill(Side side) {
  const std::optional<Parked> parked = std::exchange(parking(side), std::nullopt);
  say(std::string(name(side)) + ": is killed");
  ++kills_;
  std::unique_ptr<Memory>& memory = side == Side::client ? client_memory_ : server_memory_;
  memory->ledger.freeze();
  points(side).revive();
  wake(side);
  if (side == Side::client) {
    if (attempt_) abandon_attempt();
    segment_limit_ = {};
  } else {
    for (const auto& accepted : accepted_)
      accepted->wire->link.close(Side::server, now_);
    accepted_.clear();
    std::erase_if(sessions_, [](const auto& end) { return end->over; });
  }
  if (!healed_ && random_.chance(20)) points(side).arm(random_.between(0, 40));
  auto fresh = make_memory(side);
  // Until all of them are there, nothing of the old process is given up.
  std::vector<Revived> revived = revive(side, *fresh);
  points(side).disarm();
  for (Revived& each : revived)
    take_over(std::move(each));
  memory = std::move(fresh);
  if (side == Side::client && !client_ended_) client_.session().start(now_);
  if (parked && !healed_) asleep_until_[static_cast<std::size_t>(side)] = now_ + parked->away;
}

std::vector<World::Revived> World::revive(Side side, Memory& fresh) {
  const Memory& old = side == Side::client ? *client_memory_ : *server_memory_;
  const SessionOptions& options = side == Side::client ? plan_.client : plan_.server;
  std::vector<Revived> all;
  for (const LedgerRecord& record : old.records) {
    if (record.state != LedgerRecord::State::session) continue;
    // Null: the process ended before the session had more than its record.
    End* const end = side == Side::client ? &client_ : find_session(record.id);
    auto found = recover(old.view(), record, end != nullptr ? found_of(*end) : std::nullopt);
    if (const auto* lost = std::get_if<Unrecoverable>(&found)) {
      throw Violation("sessions outlive their process", std::string(lost->why));
    }
    Revived each{.end = end, .recovered = std::get<Recovered>(std::move(found)), .pump = nullptr};
    SessionRecord& session = each.recovered.session;
    session.service = kService;
    each.pump =
        make_pump({.id = session.id, .role = session.role, .service = kService}, fresh, options);
    if (each.recovered.connection) record_connection(side, *each.pump);
    require(each.pump->session().restore(session, each.recovered.held.bytes()).has_value(),
            "sessions outlive their process",
            contradiction_in(session.pipe, {.replay_buffer_bytes = options.pipe.replay_buffer_bytes,
                                            .max_window_bytes = options.pipe.max_window_bytes})
                .value_or("it does not fit into memory"));
    if (each.recovered.detached_since) {
      each.pump->session().without_link_since(
          TimePoint(Duration(static_cast<std::int64_t>(*each.recovered.detached_since))),
          each.recovered.grace);
    }
    all.push_back(std::move(each));
  }
  require(side == Side::server || client_ended_ || all.size() == 1,
          "sessions outlive their process", "the client's is not there");
  return all;
}

// What the next process finds of the application's connection.
std::optional<TcpMoved> World::found_of(const End& end) const {
  return end.application->moved(plan_.uncounted != end.side);
}

// Continues a session. Nothing is recorded here that was not before.
void World::take_over(Revived revived) {
  End& end = revived.end != nullptr ? *revived.end : *new_server_end();
  const SessionRecord& session = revived.recovered.session;
  const bool caught = session.pipe.reset_reason == Reason::application_reset;
  if (caught && plan_.uncounted == end.side) an_uncounted_application_was_caught_ = true;
  if (end.link) end.link->wire().killed = true;
  drop_link(end);
  end.pump = std::move(revived.pump);
  end.wanted = {};
  end.waits = {};
  end.heard = session.confirmed;
  end.due = true;
  if (end.side == Side::server) {
    end.was_detached = true;
    if (registry_->size() < sessions_.size()) registry_->add(session.id, kIdentity, kService, now_);
    registry_->detached(session.id, now_);
  }
  Application& application = *end.application;
  application.survive();
  if (session.application_reset) {
    // Perhaps once more.
    end.connects_at.reset();
    end.target_refuses_at.reset();
    if (application.has_reset()) an_application_has_reset_ = true;
    if (end.connected && !application.was_told()) application.reset();
    if (!end.connected) application.lose();
  } else if (end.pump->session().application_done()) {
    application.close();
  } else if (revived.recovered.connection) {
    end.connected = true;
    require(end.pump->connect_application(application, SessionPump::FirstWord::expected),
            "sessions outlive their process", "it takes its application for done");
  } else if (!end.connects_at && !end.target_refuses_at) {
    // The target was connected, and that was not recorded: it is dialled once more.
    application.lose();
    dial_target(end);
  }
}

}  // namespace backedpipe::sim
