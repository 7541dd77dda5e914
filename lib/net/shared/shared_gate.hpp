// SharedGate: the PeerGate of one peer for the sessions of all workers, what they have learned
// about its endpoints, and its spare links. A session that asks for a link is told on its own
// thread when to dial, and reports the outcome from that thread. Used from any thread; the lock is
// held for a few steps of the gate, once or twice per attempt at a link, and never while a handler
// runs.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "net/shared/endpoint_cache.hpp"
#include "net/shared/event_feed.hpp"
#include "net/shared/mutex.hpp"
#include "net/shared/spare_links.hpp"
#include "session/dial/peer_gate.hpp"

namespace backedpipe {

class SharedGate : public std::enable_shared_from_this<SharedGate> {
 public:
  // Names one dial: reports about an older dial of the same session have no effect.
  enum class Dial : std::uint64_t {};
  // With a dial: dial now. Without: break off and wait again.
  using Told = std::function<void(std::optional<Dial> dial)>;
  // Why a session no longer needs the gate.
  enum class Withdrawal : std::uint8_t {
    served,        // its attempt has ended, or is no longer wanted
    link_answers,  // its own link answers after all: the peer can be reached
  };

  struct View {
    PeerGate::State state = PeerGate::State::unknown;
    std::string last_error;
    std::string rejection;  // why the peer is of no use, if it rejects us
    bool probing = false;
    std::optional<TimePoint> next_probe;
    std::size_t waiting = 0;
    std::size_t dialling = 0;
  };

  // The timer runs on `home`. Publishes when the peer becomes unreachable and when it is back.
  SharedGate(boost::asio::io_context& home, EventFeed& events, std::string peer,
             std::uint64_t seed);

  // --- see PeerGate

  // `told` is called later, on `io`'s thread.
  void request(const SessionId& session, boost::asio::io_context& io, Told told);
  void withdraw(const SessionId& session, Withdrawal why);
  void kick();
  // False: this dial was broken off meanwhile and must not go on to send HELLO. The next dial will
  // send it for the same generation, which a server accepts only once.
  [[nodiscard]] bool answered(const SessionId& session, Dial dial);
  void struggling(const SessionId& session, Dial dial, const std::string& why);
  [[nodiscard]] bool failed(const SessionId& session, Dial dial, const std::string& why);

  // The peer can be reached, and rejects us, or has accepted one of our sessions.
  void rejected(const std::string& why);
  void accepted();
  // The peer has answered on an existing link.
  void alive();

  View view() const;
  const std::shared_ptr<EndpointCache>& cache() const { return cache_; }
  SpareLinks& spares() const { return *spares_; }

 private:
  struct Asker {
    boost::asio::io_context* io = nullptr;
    Told told;
    std::optional<Dial> dial;  // the dial under way
  };

  bool is_current(const SessionId& session, Dial dial) const REQUIRES(mutex_);
  void settle() REQUIRES(mutex_);
  void arm() REQUIRES(mutex_);
  void tell() REQUIRES(mutex_);

  boost::asio::io_context& home_;
  EventFeed& events_;
  const std::string peer_;
  const std::shared_ptr<EndpointCache> cache_ = std::make_shared<EndpointCache>();
  const std::shared_ptr<SpareLinks> spares_;
  mutable Mutex mutex_;
  PeerGate gate_ GUARDED_BY(mutex_);
  std::string rejection_ GUARDED_BY(mutex_);
  std::unordered_map<SessionId, Asker> askers_ GUARDED_BY(mutex_);
  std::uint64_t dial_count_ GUARDED_BY(mutex_) = 0;
  // The state that the published events have shown.
  PeerGate::State known_ GUARDED_BY(mutex_) = PeerGate::State::unknown;
  std::optional<TimePoint> timer_at_ GUARDED_BY(mutex_);
  boost::asio::steady_timer timer_;  // used on home's thread only
};

}  // namespace backedpipe
