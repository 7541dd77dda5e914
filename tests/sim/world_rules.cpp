// World: what must hold.
#include <algorithm>

#include <boost/system/errc.hpp>

#include "tests/support/ledger_agreement.hpp"
#include "world.hpp"
#include "world_limits.hpp"

namespace backedpipe::sim {

void World::check_everything() {
  const std::size_t client_segments = client_ended_ ? 0 : check_end(client_, plan_.client.pipe);
  std::size_t server_segments = 0;
  for (const auto& end : sessions_)
    server_segments += check_end(*end, plan_.server.pipe);
  require(client_memory_->budget.in_use() == client_segments &&
              server_memory_->budget.in_use() == server_segments,
          "memory is given back", "segments that no ring holds");
  require(registry_->size() == sessions_.size(), "sessions are forgotten", "the registry differs");
}

// Returns how many segments the session holds.
std::size_t World::check_end(const End& end, const PipeOptions& options) {
  const Session& session = end.session();
  const Application& application = *end.application;
  check_offsets(session);
  check_memory(session, options, plan_.segment_bytes);
  check_ledger(end);
  if (!asleep(end.side) && !session.parked()) {
    const auto deadline = session.deadline(now_);
    require(!deadline || *deadline > now_, "no action loops", "a deadline that tick() leaves");
    // Without memory the application's bytes cannot be read up to the reset.
    require(!application.has_reset() || !end.pump->application_open() || end.wanted.memory,
            "a reset is noticed at once", name(end.side));
    require(!end.link || end.link->at_rest() || end.wanted.memory,
            "what a link holds itself is read at once", name(end.side));
    require(end.side == Side::client || session.confirmed() == end.heard,
            "only what its client sends confirms a session", "the session sees it otherwise");
    const auto detached = session.detached_since();
    require(
        end.side == Side::client || end.heard || !detached || now_ < *detached + kUnconfirmedTime,
        "what nobody confirms goes soon", "it is still there");
    require(!detached || !session.grace() || now_ < *detached + *session.grace(),
            "nobody waits in vain for a daemon that has parted", name(end.side));
  }
  const bool given_up = session.pipe().resetting() || session.over();
  const Application* reader =
      end.side == Side::client ? client_.application->counterpart() : client_.application;
  if (!given_up && reader != nullptr && !reader->gone()) {
    require(session.pipe().writer().acknowledged() <= reader->taken_sequence(),
            "acknowledges only what was taken", name(end.side));
  }
  if (session.application_done() && !session.over()) {
    require(application.gone() || (application.finished() && application.end_seen()),
            "no silent end", "the application is called done and is not");
  }
  return session.pipe().writer().ring().segment_count() +
         session.pipe().reader().ring().segment_count();
}

void World::check_bounds(TimePoint next, std::optional<TimePoint> client_gone_at) const {
  const TimePoint bound = std::max(at(plan_.healed_at), client_gone_at.value_or(start_)) + kGrace;
  if (next <= bound) return;
  require(client_ended_.has_value(), "ends within bounded time", "the client's session goes on");
  for (const auto& end : sessions_) {
    // If the HELLO that opened a session arrived after its client had gone, the session can only
    // expire.
    require(!end->heard || client_ended_ == Reason::expired, "ends within bounded time",
            "the server's session goes on");
    const Duration lives = end->heard ? plan_.server.resume_timeout : kUnconfirmedTime;
    require(next <= bound + lives, "ends within bounded time",
            "the server's session does not expire");
  }
  require(accepted_.empty(), "ends within bounded time", "a handshake goes on");
}

// Checked after everything has ended.
void World::check_remains() {
  for (const auto& application : applications_) {
    require((application->complete() && application->finished()) || application->was_told() ||
                application->has_reset(),
            "no silent end", application->describe() + " was left without an answer");
  }
  require(client_memory_->budget.in_use() == 0 && server_memory_->budget.in_use() == 0,
          "memory is given back", "segments are still in use");
  require(registry_->size() == 0, "sessions are forgotten", "the registry still has one");
  registry_->tick(now_ + plan_.registry.tombstone_time);
  require(registry_->tombstone_count() == 0, "tombstones go", "one is still there");
}

// If the process ended now, the next one would know all that this one knows.
void World::check_ledger(const End& end) {
  const Session& session = end.session();
  if (session.over()) return;
  const LedgerRecord& record = session.pipe().ledger().record();
  // What the system counts makes up for a late record, but not for one that is later than this.
  require(record.written_offset == session.pipe().writer().ring().end() &&
              record.delivered_offset == session.pipe().reader().ring().begin(),
          "the ledger knows the session", "a read or write is not recorded before the next one");
  const auto found =
      recover(memory_of(end).view(), record, end.connected ? found_of(end) : std::nullopt);
  const auto* recovered = std::get_if<Recovered>(&found);
  require(recovered != nullptr, "the ledger knows the session", name(end.side));
  if (recovered->session.pipe.reset_reason && !session.pipe().resetting()) {
    // Its application has reset, and this process has yet to notice.
    require(end.application->gone(), "the ledger knows the session",
            std::string(name(end.side)) + ": a reset that is none");
    return;
  }
  const auto different = test::difference(session, *recovered);
  require(!different, "the ledger knows the session",
          std::string(name(end.side)) + ": " + std::string(different.value_or("")));
}

// A link with unread bytes that was not suspect must not be given up for silence.
void World::check_judgement(const End& end) const {
  const auto& lost = end.session().pipe().last_error();
  const bool timed_out = lost && lost->generation == end.link_generation &&
                         lost->error == make_error_code(boost::system::errc::timed_out);
  require(end.session().over() || (!end.session().suspect() && !timed_out),
          "a link is read before it is judged", name(end.side));
}

void World::check_fate(End& end, SessionPump::LinkFate fate) {
  const Session& session = end.session();
  if (fate != SessionPump::LinkFate::reuse) {
    const bool graceful = fate == SessionPump::LinkFate::graceful;
    require(graceful == (session.end_on_its_way() && !end.link->failed()),
            "what was said last still arrives", name(end.side));
    require(!session.link_reusable() || end.link->failed(), "a free link is kept", name(end.side));
    return;
  }
  // Where the client may send HELLO again, the server expects one, and nothing else is under way.
  require(session.link_reusable(), "a free link is at rest", "its session has not said so");
  Wire& wire = end.link->wire();
  if (end.side == Side::server) {
    wire.reusable_for_server = true;
    return;
  }
  reusable_ = true;
  if (wire.killed) return;
  require(wire.reusable_for_server, "both sides know that a link is free", "the server does not");
  require(wire.link.empty() && end.link->at_rest(), "a free link is at rest",
          "something is still on its way");
}

bool World::transfer_complete() const {
  const Application* server = client_.application->counterpart();
  return server != nullptr && client_.application->complete() && server->complete();
}

void World::check_reason(const End& end, Reason reason) {
  const std::string what =
      std::string(name(end.side)) + ": " + std::string(backedpipe::name(reason));
  bool excused = false;
  switch (reason) {
    case Reason::closed:
      excused = transfer_complete();
      break;
    case Reason::application_reset:
      excused = an_application_has_reset_ || an_uncounted_application_was_caught_;
      break;
    case Reason::closed_by_operator:
      excused = an_operator_has_closed_;
      break;
    case Reason::target_refused:
      excused = the_target_has_refused_;
      break;
    case Reason::unknown_session:
      excused = the_server_has_forgotten_;
      break;
    case Reason::expired:
      if (const auto since = end.session().detached_since();
          since && end.session().grace() && now_ >= *since + *end.session().grace()) {
        a_grace_has_passed_ = true;
      }
      // The client may have seen a WELCOME, and nothing that it sent after that has arrived.
      excused = a_grace_has_passed_ || plan_.server.resume_timeout < std::chrono::hours(24) ||
                client_ended_ ||
                (end.side == Side::server ? !end.heard : an_unheard_session_has_expired_);
      break;
    default:
      break;
  }
  require(excused, "ends only for a reason", what);
}

}  // namespace backedpipe::sim
