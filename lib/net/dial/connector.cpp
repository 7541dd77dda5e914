#include "net/dial/connector.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>

#include "net/clock.hpp"
#include "net/socket/link_socket.hpp"
#include "pipe/invariant.hpp"
#include "session/dial/segment_limit.hpp"

namespace backedpipe {
namespace {

namespace error = boost::asio::error;
using boost::asio::ip::tcp;
using Failure = EndpointRace::Failure;

// More errors would not help a reader of the log.
constexpr std::size_t kMostErrorsTold = 4;

AddressFamily family_of(const StreamSocket::endpoint_type& endpoint) {
  switch (endpoint.protocol().family()) {
    case AF_INET:
      return AddressFamily::ipv4;
    case AF_INET6:
      return AddressFamily::ipv6;
    default:
      return AddressFamily::local;
  }
}

// A host that refuses a connection will hardly accept one half a second later; errors from routers
// and kernels can be gone in a moment.
Failure kind_of(boost::system::error_code error) {
  const bool hard = error == error::connection_refused ||
                    error == error::address_family_not_supported ||
                    error == boost::system::errc::no_such_file_or_directory ||
                    error == boost::system::errc::invalid_argument;
  return hard ? Failure::hard : Failure::soft;
}

// Precondition: not local.
boost::asio::ip::address address_of(const StreamSocket::endpoint_type& endpoint) {
  tcp::endpoint address;
  std::memcpy(address.data(), endpoint.data(), std::min(endpoint.size(), address.capacity()));
  return address.address();
}

bool is_link_local(const StreamSocket::endpoint_type& endpoint) {
  return family_of(endpoint) == AddressFamily::ipv6 && address_of(endpoint).is_v6() &&
         address_of(endpoint).to_v6().is_link_local();
}

// Packets that never leave this machine are not too large for anything.
bool is_loopback(const StreamSocket::endpoint_type& endpoint) {
  return family_of(endpoint) == AddressFamily::local || address_of(endpoint).is_loopback();
}

// Between losing one address and getting the next, this machine has only a link-local address: the
// kernel dials from that one, and no peer can answer it.
bool goes_nowhere(const StreamSocket& socket, const StreamSocket::endpoint_type& endpoint) {
  boost::system::error_code unknown;
  const auto local = socket.local_endpoint(unknown);
  return !unknown && is_link_local(local) && !is_link_local(endpoint);
}

// A failure of this process, not of the peer. Without file descriptors a name cannot be resolved
// either, which looks like a name server that does not answer.
bool is_starvation(boost::system::error_code error) {
  return error == boost::system::errc::too_many_files_open ||
         error == boost::system::errc::too_many_files_open_in_system ||
         error == boost::system::errc::no_buffer_space || error == error::host_not_found_try_again;
}

}  // namespace

Connector::Connector(boost::asio::io_context& io, std::vector<Address> addresses, Handlers handlers,
                     std::shared_ptr<EndpointCache> cache, std::optional<Duration> pace,
                     std::optional<std::uint16_t> segment_limit)
    : io_(io),
      addresses_(std::move(addresses)),
      handlers_(std::move(handlers)),
      cache_(std::move(cache)),
      pace_(pace),
      segment_limit_(segment_limit),
      timer_(io) {}

void Connector::start() {
  std::vector<std::pair<std::size_t, StreamSocket::endpoint_type>> known;
  for (std::size_t index = 0; index < addresses_.size(); ++index) {
    const Address& address = addresses_[index];
    boost::system::error_code not_numeric;
    const auto numeric = boost::asio::ip::make_address(address.host, not_numeric);
    if (address.is_unix()) {
      known.emplace_back(index, boost::asio::local::stream_protocol::endpoint(address.unix_path));
    } else if (!not_numeric) {
      known.emplace_back(index, tcp::endpoint(numeric, address.port));
    } else {
      names_.push_back({.index = index, .answered = false, .asking = false, .error = {}});
    }
  }
  const TimePoint now = steady_now();
  RaceOptions options;
  options.pace = pace_;
  learned_ = cache_->learned();
  options.stagger = stagger_after(learned_.took);
  race_.emplace(options, now, names_.size());
  for (const auto& [index, endpoint] : known)
    enter(index, endpoint);
  for (Name& name : names_)
    ask(name);
  if (pace_ && !names_.empty()) ask_at_ = now + *pace_;
  step();
}

void Connector::cancel() {
  if (!over_) stop();
}

void Connector::stop() {
  over_ = true;
  timer_.cancel();
  racers_.clear();
  handlers_ = {};
}

// Does everything that is due now.
void Connector::step() {
  if (over_) return;
  const auto self = shared_from_this();
  const TimePoint now = steady_now();
  if (ask_at_ && now >= *ask_at_) {
    for (Name& name : names_)
      ask(name);
    ask_at_ = now + *pace_;
  }
  if (race_->open(now)) recall();
  while (const auto start = race_->next(now))
    begin(*start);
  if (race_->lost(now)) return lose();
  if (race_->struggles(now) && handlers_.struggling) {
    // A copy: the handler may cancel this connector, which drops the handlers.
    const auto tell = handlers_.struggling;
    tell(why());
    if (over_) return;
  }
  arm();
}

void Connector::arm() {
  TimePoint at = race_->deadline();
  if (ask_at_) at = std::min(at, *ask_at_);
  timer_.expires_at(std::chrono::time_point_cast<std::chrono::steady_clock::duration>(at));
  timer_.async_wait([self = shared_from_this()](const boost::system::error_code& cancelled) {
    if (!cancelled) self->step();
  });
}

// --- participants

std::size_t Connector::rank(std::size_t index, const StreamSocket::endpoint_type& endpoint) const {
  if (endpoint == learned_.last_good) return 0;
  return endpoint == learned_.last_bad ? addresses_.size() + 1 : index + 1;
}

void Connector::enter(std::size_t index, const StreamSocket::endpoint_type& endpoint) {
  const auto known = std::find_if(entrants_.begin(), entrants_.end(), [&](const Entrant& entrant) {
    return entrant.endpoint == endpoint;
  });
  if (known != entrants_.end()) {
    race_->readmit(static_cast<std::size_t>(known - entrants_.begin()));
    return;
  }
  race_->add(family_of(endpoint), rank(index, endpoint));
  entrants_.push_back(
      {.endpoint = endpoint, .index = index, .label = to_string(addresses_[index]), .error = {}});
}

void Connector::enter_all(std::size_t index, const NameResolver::Addresses& addresses) {
  for (const auto& address : addresses) {
    const std::size_t before = entrants_.size();
    enter(index, tcp::endpoint(address, addresses_[index].port));
    if (entrants_.size() > before) entrants_.back().label += " (" + address.to_string() + ")";
  }
}

void Connector::ask(Name& name) {
  if (name.asking) return;
  name.asking = true;
  // A lookup that hangs does not keep this object alive.
  NameResolver::of(io_).resolve(
      addresses_[name.index].host,
      [weak = weak_from_this(), place = static_cast<std::size_t>(&name - names_.data())](
          boost::system::error_code error, const NameResolver::Addresses& addresses) {
        const auto self = weak.lock();
        if (self && !self->over_) self->answered(self->names_[place], error, addresses);
      });
}

void Connector::answered(Name& name, boost::system::error_code error,
                         const NameResolver::Addresses& addresses) {
  const Address& address = addresses_[name.index];
  name.asking = false;
  starved_ |= is_starvation(error);
  name.error = error ? "cannot connect to " + to_string(address) + ": " + error.message() : "";
  if (!error) {
    cache_->remember(address.host, addresses);
    for (std::size_t id = 0; id < entrants_.size(); ++id) {
      if (entrants_[id].index == name.index) race_->withdraw(id);
    }
    enter_all(name.index, addresses);
  } else if (!name.answered) {
    enter_all(name.index, cache_->addresses_of(address.host));
  }
  if (!std::exchange(name.answered, true)) race_->resolved();
  step();
}

// The name servers are slow: uses their earlier answers.
void Connector::recall() {
  if (std::exchange(recalled_, true)) return;
  for (const Name& name : names_) {
    if (name.answered) continue;
    enter_all(name.index, cache_->addresses_of(addresses_[name.index].host));
  }
}

// --- tries

// The limit for the next try. Older tries may have connected, and their transport's handshakes do
// not come to an end: certificates fill whole segments, which the path may swallow. Each further
// try then uses smaller ones.
std::optional<std::uint16_t> Connector::segment_limit(std::size_t entrant) const {
  auto stalled = std::count_if(racers_.begin(), racers_.end(), [entrant](const auto& racer) {
    return racer.second.entrant == entrant && racer.second.transport != nullptr;
  });
  auto limit = segment_limit_;
  for (const std::uint16_t smaller : kSmallSegmentBytes) {
    if (stalled == 0) break;
    if (limit && smaller >= *limit) continue;
    limit = smaller;
    --stalled;
  }
  return limit;
}

void Connector::begin(const EndpointRace::Start& start) {
  if (start.instead_of) racers_.erase(*start.instead_of);
  cache_->count_dial();
  const auto limit = segment_limit(start.address);
  Racer& racer =
      racers_.emplace(start.racer, Racer{start.address, steady_now(), StreamSocket(io_), nullptr})
          .first->second;
  const StreamSocket::endpoint_type& endpoint = entrants_[start.address].endpoint;
  boost::system::error_code failed;
  racer.socket.open(endpoint.protocol(), failed);
  if (failed) return connected(start.racer, failed);
  if (handlers_.prepare) handlers_.prepare(racer.socket.native_handle());
  if (limit && !is_loopback(endpoint)) limit_segments(racer.socket, *limit);
  racer.socket.async_connect(endpoint, [self = shared_from_this(),
                                        id = start.racer](const boost::system::error_code& error) {
    if (self->over_) return;
    self->connected(id, error);
    self->step();
  });
  if (goes_nowhere(racer.socket, endpoint)) {
    drop(
        start.racer, Failure::soft,
        "cannot connect to " + entrants_[start.address].label + ": only a link-local address here");
  }
}

void Connector::connected(RacerId id, boost::system::error_code error) {
  const auto found = racers_.find(id);
  if (found == racers_.end()) return;
  Racer& racer = found->second;
  // After a wait for writability Asio keeps watching for it, and later wakes every wait for reading
  // once for nothing.
  if (!error && !register_anew(racer.socket, entrants_[racer.entrant].endpoint.protocol(), io_)) {
    error = error::no_memory;
  }
  if (error) {
    starved_ |= is_starvation(error);
    return drop(id, kind_of(error),
                "cannot connect to " + entrants_[racer.entrant].label + ": " + error.message());
  }
  race_->connected(id, steady_now());
  racer.transport = handlers_.wrap(std::move(racer.socket));
  shake_hands(id);
}

void Connector::shake_hands(RacerId id) {
  const auto found = racers_.find(id);
  if (found == racers_.end()) return;
  Transport& transport = *found->second.transport;
  const std::string& where = entrants_[found->second.entrant].label;
  const IoResult result = transport.handshake();
  switch (result.status) {
    case IoResult::Status::ok:
      return win(id);
    case IoResult::Status::want_read:
    case IoResult::Status::want_write:
      return wait_for(transport.socket(), result.status,
                      [self = shared_from_this(), id](const boost::system::error_code& cancelled) {
                        if (self->over_ || cancelled) return;
                        self->shake_hands(id);
                        self->step();
                      });
    case IoResult::Status::closed:
      return drop(id, Failure::soft, where + " closed the connection during the TLS handshake");
    case IoResult::Status::failed:
      if (!transport.rejected()) {
        return drop(id, Failure::soft, where + ": " + result.error.message());
      }
      if (const std::string why = transport.failure(); !why.empty()) {
        return drop(id, Failure::rejected, where + ": " + why);
      }
      return drop(id, Failure::rejected,
                  where + " does not accept our identity or key, or is not a TLS server (" +
                      result.error.message() + ")");
  }
}

void Connector::drop(RacerId id, Failure failure, std::string why) {
  const auto found = racers_.find(id);
  invariant(found != racers_.end());
  if (failure == Failure::rejected) rejection_ = why;
  entrants_[found->second.entrant].error = std::move(why);
  racers_.erase(found);
  race_->failed(id, failure, steady_now());
}

// --- the end

void Connector::win(RacerId id) {
  const auto found = racers_.find(id);
  invariant(found != racers_.end());
  Racer& racer = found->second;
  const Entrant& entrant = entrants_[racer.entrant];
  const Duration took = steady_now() - racer.started;
  cache_->note_took(took);
  finish(Won{std::move(racer.transport), entrant.endpoint, entrant.label, took});
}

void Connector::lose() {
  Lost lost{.rejected = race_->rejected(), .starved = starved_, .why = {}};
  lost.why = lost.rejected ? rejection_ : why();
  if (!lost.rejected && race_->timed_out(steady_now())) {
    lost.why = "timeout: no answer within 10 s; " + lost.why;
  }
  finish(std::move(lost));
}

void Connector::finish(Outcome outcome) {
  const auto done = std::exchange(handlers_.done, nullptr);
  stop();
  done(std::move(outcome));
}

// Always the same words for the same state, so that repeated log lines can be recognized.
std::string Connector::why() const {
  std::vector<std::string> reasons;
  std::string silent;
  for (const Entrant& entrant : entrants_) {
    if (!entrant.error.empty()) {
      reasons.push_back(entrant.error);
    } else if (silent.empty()) {
      silent = entrant.label + " does not answer";
    }
  }
  for (const Name& name : names_) {
    if (!name.error.empty()) reasons.push_back(name.error);
    if (!name.answered && silent.empty()) {
      silent = "no address of " + addresses_[name.index].host + " is known";
    }
  }
  if (!silent.empty()) reasons.insert(reasons.begin(), silent);
  std::string text;
  for (std::size_t i = 0; i < std::min(reasons.size(), kMostErrorsTold); ++i) {
    text += (i == 0 ? "" : "; ") + reasons[i];
  }
  return text;
}

}  // namespace backedpipe
