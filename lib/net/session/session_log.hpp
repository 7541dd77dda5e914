// SessionLog: the history of one session: its links and why they ended, how many bytes it has
// carried, its latest error. Snapshots read it, and it publishes every change as an event. Part of
// a SessionDriver, on its worker's thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "control/session_history.hpp"
#include "control/session_totals.hpp"
#include "net/events/event_log.hpp"
#include "net/link/transport.hpp"
#include "net/session/session_labels.hpp"
#include "net/shared/event_feed.hpp"
#include "session/pump/session_pump.hpp"

namespace backedpipe {

class SessionLog {
 public:
  // `pump` must outlive this object. `application` is for people: the application's address on a
  // client, the target's on a server.
  SessionLog(const SessionPump& pump, EventFeed& events, SharedLabels::Labels labels,
             std::string application);

  // --- events

  void opened() { publish(Event::Kind::open); }
  // The session was opened at this time, nanoseconds since 1970, by a process before this one. Since
  // then so many have continued it, this one included.
  void restored(std::uint64_t created_at, std::uint64_t restores);
  void parked() { publish(Event::Kind::parked); }
  // Must follow anything that may have changed the session's state. `link` is its current link, or
  // null.
  struct Change {
    bool detached = false;
    bool attached = false;
  };
  Change look(const Transport* link);
  void ended(Reason reason);

  // An attempt ended without a link: the server refused it; it failed; it used a spare link that
  // did not work.
  void refused(std::uint64_t generation, const Refused& refused);
  void attempt_failed(std::uint64_t generation, bool rejected, const std::string& why);
  void attempt_void(std::uint64_t generation, const std::string& why) const;
  void application_failed(const boost::system::error_code& error) const;
  void application_reset(Reason reason);

  // --- history

  const SessionLabels& labels() const { return *labels_; }
  const std::string& application() const { return application_; }
  // The address of the current link, or of the latest one.
  const std::string& link_address() const { return history_.latest_address(); }
  std::uint64_t bytes_in() const { return pump_.bytes_in(); }    // delivered to the application
  std::uint64_t bytes_out() const { return pump_.bytes_out(); }  // read from the application
  // Adds the bytes that the session has carried.
  void add_to(SessionTotals& totals) const;
  WallTime created_at() const { return created_at_; }
  WallTime state_since() const { return state_since_; }
  // How many processes have continued the session, and when this one has, if it has.
  std::uint64_t restores() const { return restores_; }
  std::optional<WallTime> restored_at() const { return restored_at_; }
  // Since when the session has had no link. Precondition: it has no link now.
  TimePoint without_link_since() const { return away_since_.value_or(opened_at_); }
  const std::string& last_error() const { return last_error_; }
  const SessionHistory& history() const { return history_; }
  // The subject for log lines about this session; `generation` 0 for none.
  LogSubject log_subject(std::uint64_t generation, std::string_view reason) const;

 private:
  void attached(const Transport* link);
  void detached(std::uint64_t generation);
  void publish(Event::Kind kind, std::uint64_t generation = 0, std::string reason = {},
               std::string detail = {}, std::optional<Duration> duration = {});

  const Session& session() const { return pump_.session(); }

  const SessionPump& pump_;
  EventFeed& events_;
  SharedLabels::Labels labels_;
  std::string application_;

  std::uint64_t seen_generation_ = 0;
  PipeState seen_state_ = PipeState::disconnected;
  bool replaced_ = false;  // a newer link has replaced its latest one
  TimePoint opened_at_;
  WallTime created_at_;
  WallTime state_since_;
  std::uint64_t restores_ = 0;
  std::optional<WallTime> restored_at_;
  TimePoint attached_since_{};
  std::optional<TimePoint> away_since_;
  SessionHistory history_;
  std::string last_error_;
};

}  // namespace backedpipe
