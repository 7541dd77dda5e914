#include "net/report/control_server.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <grp.h>
#include <iterator>
#include <numeric>
#include <stdexcept>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>
#include <spdlog/spdlog.h>

#include "control/line_buffer.hpp"
#include "control/request.hpp"
#include "net/clock.hpp"
#include "net/events/event_log.hpp"
#include "net/report/worker_snapshots.hpp"

namespace backedpipe {
namespace {

// At this size the replies are written before more lines are answered.
constexpr std::size_t kMaxReplyBytes = std::size_t{1} << 20;
// At most this much waits for a slow reader of events.
constexpr std::size_t kMaxEventBytes = std::size_t{256} << 10;

void set_permissions(const ControlSettings& settings) {
  const std::string& path = *settings.socket;
  const auto refuse = [&](const std::string& what) {
    throw std::runtime_error("control socket " + path + ": " + what);
  };
  if (!settings.group.empty()) {
    const group* entry = ::getgrnam(settings.group.c_str());
    if (entry == nullptr) refuse("there is no group \"" + settings.group + "\"");
    // A service that already runs with this group may be forbidden to call chown.
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

}  // namespace

// Reads requests and writes the answers; reads on only after they are written. Subscribed events go
// out in between.
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

  // The daemon is stopping, and the server is about to be destroyed.
  void close() {
    server_ = nullptr;
    boost::system::error_code ignored;
    socket_.close(ignored);
  }

  void subscribe() { subscribed_ = true; }
  bool subscribed() const { return subscribed_; }

  // A client that reads too slowly loses events, and is told how many.
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

  // Answers the lines received so far, a bounded number of bytes at a time, then reads on.
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

  // Closes the socket. The last pending handler to end destroys this object.
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
  std::string writing_;     // being written; out_ follows
  bool answering_ = false;  // replies are being written: read on after them
  bool more_ = false;       // lines wait to be answered
  bool subscribed_ = false;
  std::uint64_t dropped_count_ = 0;
};

ControlServer::ControlServer(boost::asio::io_context& io, SharedState& shared, Workers& workers,
                             const ControlSettings& settings, Operations& operations)
    : shared_(shared),
      workers_(workers),
      operations_(operations),
      started_at_(wall_now()),
      started_(steady_now()) {
  // A directory below /run is gone after each boot.
  std::error_code ignored;
  std::filesystem::create_directory(std::filesystem::path(*settings.socket).parent_path(), ignored);
  // Only the owner may use the socket at first; then its group and permissions are set.
  const mode_t before = ::umask(0177);
  try {
    Address address;
    address.unix_path = *settings.socket;
    listener_ =
        std::make_shared<Listener>(io, shared.accept_failures, ListeningSockets().open(address));
  } catch (...) {
    ::umask(before);
    throw;
  }
  ::umask(before);
  set_permissions(settings);
  std::array<char, 256> host{};
  ::gethostname(host.data(), host.size() - 1);
  instance_ = host.data();
  shared.events.listen([this](const Event& event) { tell(event); });
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
  if (connections_.size() >= most_connections_) return;
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
  status.continuity = operations_.continuity();
  status.started_at = started_at_;
  status.uptime = std::chrono::duration_cast<std::chrono::seconds>(steady_now() - started_);
  for (const StatusSnapshot& part : workers_.gather(status_of))
    add(status, part);
  status.totals.segments_in_use = shared_.memory.in_use();
  status.totals.segment_bytes = SegmentPool::kDefaultSegmentBytes;
  status.totals.memory_limit = shared_.memory.segment_count() * SegmentPool::kDefaultSegmentBytes;
  return status;
}

std::vector<SessionSnapshot> ControlServer::sessions() {
  std::vector<SessionSnapshot> all;
  for (std::vector<SessionSnapshot>& part : workers_.gather(sessions_of)) {
    all.insert(all.end(), std::make_move_iterator(part.begin()),
               std::make_move_iterator(part.end()));
  }
  return all;
}

std::optional<SessionSnapshot> ControlServer::session(const SessionId& id) {
  for (auto& found :
       workers_.gather([&id](const Worker& worker) { return session_of(worker, id); })) {
    if (found) return std::move(found);
  }
  return std::nullopt;
}

ReconnectOutcome ControlServer::reconnect(const SessionId& id) {
  const auto outcomes = workers_.gather([&id](Worker& worker) {
    if (const auto driver = worker.dialled.find(id)) {
      return worker.dialler.reconnect(driver) ? ReconnectOutcome::done
                                              : ReconnectOutcome::not_found;
    }
    return worker.accepted.find(id) ? ReconnectOutcome::not_here : ReconnectOutcome::not_found;
  });
  // The dialling side first, if this daemon has both sides of the session.
  for (const auto wanted : {ReconnectOutcome::done, ReconnectOutcome::not_here}) {
    if (std::find(outcomes.begin(), outcomes.end(), wanted) != outcomes.end()) return wanted;
  }
  return ReconnectOutcome::not_found;
}

std::size_t ControlServer::reconnect_all() {
  const auto counts = workers_.gather([](Worker& worker) {
    std::size_t count = 0;
    const SessionTable::Sessions sessions = worker.dialled.all();
    for (const auto& [id, driver] : sessions)
      count += worker.dialler.reconnect(driver) ? 1 : 0;
    return count;
  });
  return std::accumulate(counts.begin(), counts.end(), std::size_t{0});
}

bool ControlServer::close(const SessionId& id) {
  const auto closed = workers_.gather([&id](Worker& worker) {
    auto driver = worker.dialled.find(id);
    if (!driver) driver = worker.accepted.find(id);
    if (driver) driver->reset(Reason::closed_by_operator);
    return driver != nullptr;
  });
  return std::find(closed.begin(), closed.end(), true) != closed.end();
}

}  // namespace backedpipe
