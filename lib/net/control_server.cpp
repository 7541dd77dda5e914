#include "net/control_server.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <grp.h>
#include <stdexcept>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>
#include <spdlog/spdlog.h>

#include "control/line_buffer.hpp"
#include "control/request.hpp"
#include "net/event_log.hpp"

namespace backedpipe {
namespace {

// Somebody who opens connections and forgets them must not use up the descriptors of the sessions.
constexpr std::size_t kMaxConnections = 64;
// Replies are written once they have come to this, before more lines are answered.
constexpr std::size_t kMaxReplyBytes = std::size_t{1} << 20;
// Events that wait for a slow reader.
constexpr std::size_t kMaxEventBytes = std::size_t{256} << 10;

void set_permissions(const ControlSettings& settings) {
  const std::string& path = *settings.socket;
  const auto refuse = [&](const std::string& what) {
    throw std::runtime_error("control socket " + path + ": " + what);
  };
  if (!settings.group.empty()) {
    const group* entry = ::getgrnam(settings.group.c_str());
    if (entry == nullptr) refuse("there is no group \"" + settings.group + "\"");
    // A service that runs as this group already may not be allowed to call chown at all.
    struct stat status {};
    const bool has_group = ::stat(path.c_str(), &status) == 0 && status.st_gid == entry->gr_gid;
    if (!has_group && ::chown(path.c_str(), static_cast<uid_t>(-1), entry->gr_gid) != 0) {
      refuse("cannot give it to group \"" + settings.group + "\": " + std::strerror(errno));
    }
  }
  if (::chmod(path.c_str(), settings.mode) != 0) {
    refuse(std::string("cannot set its mode: ") + std::strerror(errno));
  }
}

SessionSnapshot snapshot_of(const SessionDriver& driver) {
  const Session& session = driver.session();
  const BackedPipe& pipe = session.pipe();
  const SessionDriver::Labels& labels = driver.labels();
  SessionSnapshot snapshot;
  snapshot.id = session.id();
  snapshot.role = session.role();
  snapshot.tunnel = labels.tunnel;
  snapshot.service = session.service();
  snapshot.link = driver.link_address();
  snapshot.peer = session.role() == Role::client ? labels.peer : driver.last_link_address();
  snapshot.identity = labels.identity;
  // To a user, waiting for the next attempt and being in the middle of one are the same thing.
  snapshot.state = session.role() == Role::client && pipe.state() == PipeState::disconnected
                       ? PipeState::reconnecting
                       : pipe.state();
  snapshot.generation = pipe.generation();
  snapshot.reconnects = session.links() > 0 ? session.links() - 1 : 0;
  snapshot.created_at = driver.created_at();
  snapshot.state_since = driver.state_since();
  snapshot.application = labels.application;
  snapshot.bytes_in = driver.bytes_in();
  snapshot.bytes_out = driver.bytes_out();
  snapshot.unacked = pipe.writer().ring().size();
  snapshot.buffered = pipe.writer().ring().size() + pipe.reader().ring().size();
  snapshot.window = pipe.reader().window().size_bytes();
  snapshot.rtt = pipe.round_trip();
  snapshot.last_error = driver.last_error();
  snapshot.suspect = session.suspect();
  return snapshot;
}

}  // namespace

// Reads requests, writes the answers, and reads on only when they are gone. Events that it has
// subscribed to go out in between.
class ControlServer::Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(StreamSocket socket, ControlServer& server)
      : socket_(std::move(socket)), server_(&server) {}

  void read() {
    socket_.async_read_some(
        boost::asio::buffer(buffer_),
        [self = shared_from_this()](const boost::system::error_code& error, std::size_t count) {
          if (!error && self->server_ != nullptr) return self->received(count);
          self->subscribed_ = false;
        });
  }

  // The daemon stops: the server is about to go.
  void close() {
    server_ = nullptr;
    boost::system::error_code ignored;
    socket_.close(ignored);
  }

  void subscribe() { subscribed_ = true; }
  bool subscribed() const { return subscribed_; }

  // Whoever reads too slowly loses events, and is told how many.
  void tell(std::string_view notification) {
    if (out_.size() >= kMaxEventBytes) {
      ++dropped_count_;
      return;
    }
    out_ += notification;
    write();
  }

 private:
  void received(std::size_t count) {
    lines_.append({buffer_.data(), count});
    answer();
  }

  // Answers the lines that are there, a bounded number of bytes at a time, then reads on.
  void answer() {
    std::string replies;
    while (replies.size() < kMaxReplyBytes) {
      const auto line = lines_.next();
      if (!line) break;
      replies += server_->answer(*line, *this);
    }
    more_ = replies.size() >= kMaxReplyBytes;
    if (!more_ && lines_.overflowed()) replies += overlong_request_reply();
    if (replies.empty()) return read();
    answering_ = true;
    out_ += replies;
    write();
  }

  void write() {
    if (!writing_.empty()) return;
    writing_.swap(out_);
    boost::asio::async_write(
        socket_, boost::asio::buffer(writing_),
        [self = shared_from_this()](const boost::system::error_code& error, std::size_t) {
          self->writing_.clear();
          if (error || self->server_ == nullptr) return self->give_up();
          self->written();
        });
  }

  void written() {
    if (out_.empty() && dropped_count_ > 0) {
      out_ = dropped_notification(std::exchange(dropped_count_, 0));
    }
    if (!out_.empty()) return write();
    if (!std::exchange(answering_, false)) return;
    if (more_) return answer();
    if (lines_.overflowed()) return give_up();
    read();
  }

  // The last one to hold it lets go.
  void give_up() {
    subscribed_ = false;
    boost::system::error_code ignored;
    socket_.close(ignored);
  }

  StreamSocket socket_;
  ControlServer* server_;
  std::array<char, 4096> buffer_;
  LineBuffer lines_{kMaxRequestBytes};
  std::string out_;
  std::string writing_;     // what is being written; out_ is what comes after it
  bool answering_ = false;  // replies are among what is to be written: read on after it
  bool more_ = false;       // lines wait to be answered
  bool subscribed_ = false;
  std::uint64_t dropped_count_ = 0;
};

ControlServer::ControlServer(Worker& worker, const ControlSettings& settings, Client& client,
                             Server& server, Operations& operations)
    : worker_(worker),
      client_(client),
      server_(server),
      operations_(operations),
      started_at_(Worker::now()) {
  // A directory below /run is gone after each boot.
  std::error_code ignored;
  std::filesystem::create_directory(std::filesystem::path(*settings.socket).parent_path(), ignored);
  // Made for nobody but its owner, then opened to whom it is meant for.
  const mode_t before = ::umask(0177);
  try {
    Address address;
    address.unix_path = *settings.socket;
    listener_ = std::make_shared<Listener>(worker, address);
  } catch (...) {
    ::umask(before);
    throw;
  }
  ::umask(before);
  set_permissions(settings);
  std::array<char, 256> host{};
  ::gethostname(host.data(), host.size() - 1);
  instance_ = host.data();
  worker_.events().listen([this](const Event& event) { tell(event); });
}

ControlServer::~ControlServer() = default;

void ControlServer::start() {
  listener_->start([this](StreamSocket socket) { accepted(std::move(socket)); });
  spdlog::info("control socket {}", listener_->address().unix_path);
}

void ControlServer::stop() {
  listener_->stop();
  for (const auto& weak : connections_) {
    if (const auto connection = weak.lock()) connection->close();
  }
}

void ControlServer::accepted(StreamSocket socket) {
  connections_.remove_if([](const auto& weak) { return weak.expired(); });
  if (connections_.size() >= kMaxConnections) return;
  const auto connection = std::make_shared<Connection>(std::move(socket), *this);
  connections_.push_back(connection);
  connection->read();
}

std::string ControlServer::answer(const std::string& line, Connection& connection) {
  asking_ = &connection;
  std::string reply = handle_request(line, *this);
  asking_ = nullptr;
  return reply;
}

void ControlServer::subscribe() {
  asking_->subscribe();
}

void ControlServer::tell(const Event& event) {
  std::string notification;
  for (const auto& weak : connections_) {
    const auto connection = weak.lock();
    if (!connection || !connection->subscribed()) continue;
    if (notification.empty()) notification = event_notification(event);
    connection->tell(notification);
  }
}

std::string ControlServer::log_level() {
  return std::string(to_string(backedpipe::log_level()));
}

bool ControlServer::set_log_level(const std::string& level) {
  const auto wanted = parse_log_level(level);
  if (!wanted) return false;
  backedpipe::set_log_level(*wanted);
  spdlog::info("log level {}", level);
  return true;
}

StatusSnapshot ControlServer::status() {
  StatusSnapshot status;
  status.version = BACKEDPIPE_VERSION;
  status.pid = ::getpid();
  status.instance = instance_;
  status.draining = operations_.draining();
  status.uptime = std::chrono::duration_cast<std::chrono::seconds>(Worker::now() - started_at_);
  for (const SessionTotals* totals : {&client_.totals(), &server_.totals()}) {
    status.totals.sessions_opened += totals->opened;
    status.totals.sessions_ended += totals->ended;
    status.totals.attaches += totals->attaches;
    status.totals.bytes_in += totals->bytes_in;
    status.totals.bytes_out += totals->bytes_out;
    status.totals.replayed_bytes += totals->replayed_bytes;
  }
  for (const SessionSnapshot& session : sessions()) {
    switch (session.state) {
      case PipeState::connected:
        ++status.connected;
        break;
      case PipeState::reconnecting:
        ++status.reconnecting;
        break;
      default:
        ++status.disconnected;
        break;
    }
    status.totals.bytes_in += session.bytes_in;
    status.totals.bytes_out += session.bytes_out;
  }

  for (const auto& tunnel : client_.tunnels()) {
    status.tunnels.push_back({.name = tunnel->settings.name,
                              .listen = to_string(tunnel->listener->address()),
                              .peer = tunnel->settings.peer,
                              .service = tunnel->settings.service});
  }
  for (const auto& [name, peer] : client_.peers()) {
    PeerSnapshot snapshot;
    snapshot.name = name;
    snapshot.security = std::string(to_string(peer.settings.security));
    for (const Endpoint& endpoint : peer.settings.endpoints) {
      snapshot.endpoints.push_back(to_string(endpoint));
    }
    const PeerGate& gate = peer.gate;
    snapshot.state = gate.state();
    snapshot.last_error = peer.rejection.empty() ? gate.last_error() : peer.rejection;
    if (gate.probing()) {
      snapshot.next_attempt = std::chrono::system_clock::now();
    } else if (const auto at = gate.next_probe()) {
      snapshot.next_attempt = std::chrono::system_clock::now() +
                              std::chrono::duration_cast<WallTime::duration>(*at - Worker::now());
    }
    snapshot.waiting = gate.waiting();
    snapshot.dialling = gate.dialling();
    snapshot.dials = peer.cache->dials;
    status.peers.push_back(std::move(snapshot));
  }
  for (const auto& [id, driver] : client_.sessions()) {
    const SessionDriver::Labels& labels = driver->labels();
    for (TunnelSnapshot& tunnel : status.tunnels)
      tunnel.sessions += tunnel.name == labels.tunnel;
    for (PeerSnapshot& peer : status.peers)
      peer.sessions += peer.name == labels.peer;
    status.totals.replayed_bytes += driver->session().pipe().replayed_bytes();
  }
  for (const auto& entry : server_.entries()) {
    status.listeners.push_back({.listen = to_string(entry->listener->address()),
                                .security = std::string(to_string(entry->settings.security)),
                                .handshakes = entry->pending});
  }
  for (const auto& [id, driver] : server_.sessions()) {
    for (ListenerSnapshot& listener : status.listeners) {
      listener.sessions += listener.listen == driver->labels().listener;
    }
    status.totals.replayed_bytes += driver->session().pipe().replayed_bytes();
  }

  status.totals.handshakes_failed = server_.handshakes_failed();
  status.totals.segments_in_use = worker_.pool().segments_in_use();
  status.totals.segment_bytes = worker_.pool().segment_bytes();
  status.totals.memory_limit = worker_.pool().segment_count() * worker_.pool().segment_bytes();
  return status;
}

std::vector<SessionSnapshot> ControlServer::sessions() {
  std::vector<SessionSnapshot> sessions;
  sessions.reserve(client_.sessions().size() + server_.sessions().size());
  for (const auto& [id, driver] : client_.sessions())
    sessions.push_back(describe(*driver));
  for (const auto& [id, driver] : server_.sessions())
    sessions.push_back(describe(*driver));
  return sessions;
}

SessionSnapshot ControlServer::describe(const SessionDriver& driver) const {
  SessionSnapshot snapshot = snapshot_of(driver);
  if (snapshot.role == Role::client && snapshot.state != PipeState::connected) {
    // What keeps it waiting is known to its peer only.
    const PeerGate& gate = client_.peers().at(driver.labels().peer).gate;
    if (gate.state() == PeerState::down) snapshot.last_error = gate.last_error();
  }
  return snapshot;
}

std::shared_ptr<SessionDriver> ControlServer::find(const SessionId& id) const {
  for (const auto* sessions : {&client_.sessions(), &server_.sessions()}) {
    if (const auto found = sessions->find(id); found != sessions->end()) return found->second;
  }
  return nullptr;
}

std::optional<SessionSnapshot> ControlServer::session(const SessionId& id) {
  const auto driver = find(id);
  if (!driver) return std::nullopt;
  SessionSnapshot snapshot = describe(*driver);
  snapshot.history = driver->history().links();
  return snapshot;
}

ReconnectOutcome ControlServer::reconnect(const SessionId& id) {
  const auto driver = find(id);
  if (!driver) return ReconnectOutcome::not_found;
  if (driver->session().role() == Role::server) return ReconnectOutcome::not_here;
  return client_.reconnect(driver) ? ReconnectOutcome::done : ReconnectOutcome::not_found;
}

std::size_t ControlServer::reconnect_all() {
  std::size_t count = 0;
  const Client::Sessions sessions = client_.sessions();
  for (const auto& [id, driver] : sessions)
    count += client_.reconnect(driver) ? 1 : 0;
  return count;
}

bool ControlServer::close(const SessionId& id) {
  const auto driver = find(id);
  if (!driver) return false;
  driver->reset(Reason::closed_by_operator);
  return true;
}

}  // namespace backedpipe
