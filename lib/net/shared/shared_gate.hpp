// SharedGate: the PeerGate of one peer for the sessions of all workers, and what they have learned
// about its endpoints; and the links to it that no session uses. Whoever asks for a link is told on
// its own thread when to dial; what comes of the dial it tells from there. Used from any
// thread; the lock is held for a few steps of the gate, once or twice for each attempt at a link,
// and never while anybody is told anything.
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
  // Names one dial: what is said of an older one of the same session has no effect.
  enum class Dial : std::uint64_t {};
  // Dial now; or, without a dial, break off and go on waiting.
  using Told = std::function<void(std::optional<Dial> dial)>;
  // Why a session wants nothing of the gate any more.
  enum class Withdrawal : std::uint8_t {
    served,        // its attempt has an outcome, or nobody wants one
    link_answers,  // the link that it had answers after all: the peer can be reached
  };

  struct View {
    PeerGate::State state = PeerGate::State::unknown;
    std::string last_error;
    std::string rejection;  // why it is of no use, if it does not accept us
    bool probing = false;
    std::optional<TimePoint> next_probe;
    std::size_t waiting = 0;
    std::size_t dialling = 0;
  };

  // The timer runs on `home`. Publishes when the peer goes away and when it is back.
  SharedGate(boost::asio::io_context& home, EventFeed& events, std::string peer,
             const BackoffOptions& backoff, std::uint64_t seed);

  // --- see PeerGate

  // `told` is called on `io`'s thread, later.
  void request(const SessionId& session, boost::asio::io_context& io, Told told);
  void withdraw(const SessionId& session, Withdrawal why);
  void kick();
  // False: this dial was broken off meanwhile, and must not go on to say HELLO. The next one will,
  // for the same generation, which a server takes only once.
  [[nodiscard]] bool answered(const SessionId& session, Dial dial);
  void struggling(const SessionId& session, Dial dial, const std::string& why);
  [[nodiscard]] bool failed(const SessionId& session, Dial dial, const std::string& why);

  // Of the peer, which is there: it does not accept us, or has accepted one of us.
  void rejected(const std::string& why);
  void accepted();
  // Of the peer: it has answered on a link that was there before.
  void alive();

  View view() const;
  const std::shared_ptr<EndpointCache>& cache() const { return cache_; }
  SpareLinks& spares() const { return *spares_; }

 private:
  struct Asker {
    boost::asio::io_context* io = nullptr;
    Told told;
    std::optional<Dial> dial;  // the one under way
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
  // What whoever hears events knows.
  PeerGate::State known_ GUARDED_BY(mutex_) = PeerGate::State::unknown;
  std::optional<TimePoint> timer_at_ GUARDED_BY(mutex_);
  boost::asio::steady_timer timer_;  // home's only
};

}  // namespace backedpipe
