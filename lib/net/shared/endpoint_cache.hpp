// EndpointCache: what attempts at one peer have learned, for the next one. In an outage the name
// servers are unreachable as well, and asking them can take many seconds; the peer's address
// usually has not changed. One per peer, shared by the attempts of all workers.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include <boost/asio/ip/address.hpp>

#include "net/shared/mutex.hpp"
#include "net/socket/stream.hpp"
#include "pipe/time.hpp"
#include "session/dial/answer_patience.hpp"
#include "session/dial/segment_limit.hpp"

namespace backedpipe {

class EndpointCache {
 public:
  using Addresses = std::vector<boost::asio::ip::address>;

  struct Learned {
    // Of the latest successful link; tried first.
    StreamSocket::endpoint_type last_good;
    // A transport connected there, but no link followed; tried last, so that a host that accepts
    // every connection and then stays silent does not win every race.
    StreamSocket::endpoint_type last_bad;
    // How long the latest successful connection took, including the transport's handshake.
    std::optional<Duration> took;
  };

  Learned learned() const {
    const MutexLock lock(mutex_);
    return learned_;
  }
  void note_took(Duration took) {
    const MutexLock lock(mutex_);
    learned_.took = took;
  }
  // Whether a transport to this endpoint led to a link.
  void note(const StreamSocket::endpoint_type& endpoint, bool good) {
    const MutexLock lock(mutex_);
    StreamSocket::endpoint_type& same = good ? learned_.last_good : learned_.last_bad;
    StreamSocket::endpoint_type& other = good ? learned_.last_bad : learned_.last_good;
    same = endpoint;
    if (other == endpoint) other = {};
  }

  // See AnswerPatience.
  Duration answer_patience(Duration took) const {
    const MutexLock lock(mutex_);
    return patience_.after(took);
  }
  Duration answer_patience_learned() const {
    const MutexLock lock(mutex_);
    return patience_.learned();
  }
  void note_answer(Duration waited) {
    const MutexLock lock(mutex_);
    patience_.answered(waited);
  }
  void note_no_answer(Duration waited) {
    const MutexLock lock(mutex_);
    patience_.ran_out(waited);
  }

  // See SegmentLimit.
  SegmentLimit::Choice segment_limit(std::uint32_t fruitless, TimePoint now) {
    const MutexLock lock(mutex_);
    return segment_limit_.for_dial(fruitless, now);
  }
  // The network has changed.
  void forget_segment_limit() {
    const MutexLock lock(mutex_);
    segment_limit_.forget();
  }

  // The latest known addresses of a name; empty if it was never resolved.
  Addresses addresses_of(const std::string& name) const {
    const MutexLock lock(mutex_);
    const auto known = addresses_of_.find(name);
    return known == addresses_of_.end() ? Addresses() : known->second;
  }
  void remember(const std::string& name, const Addresses& addresses) {
    const MutexLock lock(mutex_);
    addresses_of_[name] = addresses;
  }

  // The peer's addresses in the settings have changed.
  void forget() {
    const MutexLock lock(mutex_);
    learned_ = {};
    patience_ = {};
    segment_limit_.forget();
    addresses_of_.clear();
  }

  // Connections begun, for the statistics.
  void count_dial() { dials_.fetch_add(1, std::memory_order_relaxed); }
  std::uint64_t dials() const { return dials_.load(std::memory_order_relaxed); }

 private:
  mutable Mutex mutex_;
  Learned learned_ GUARDED_BY(mutex_);
  AnswerPatience patience_ GUARDED_BY(mutex_);
  SegmentLimit segment_limit_ GUARDED_BY(mutex_);
  std::unordered_map<std::string, Addresses> addresses_of_ GUARDED_BY(mutex_);
  std::atomic<std::uint64_t> dials_{0};
};

}  // namespace backedpipe
