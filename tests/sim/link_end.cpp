#include "link_end.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace backedpipe::sim {
namespace {

using Status = IoResult::Status;

// How much of an incomplete write is compared with the next offer.
constexpr std::size_t kComparedBytes = 64;

std::size_t index(Side side) {
  return static_cast<std::size_t>(side);
}

}  // namespace

SimLink::SimLink(std::shared_ptr<Wire> wire, Side side, const Owner& owner, Random& random,
                 const TimePoint& clock)
    : wire_(std::move(wire)),
      side_(side),
      owner_(owner),
      random_(random),
      now_(clock),
      records_(random.chance(30)) {}

void SimLink::set_drained(bool drained) {
  drained_ = drained;
  readiness_.read = !drained;
}

bool SimLink::has_bytes() {
  return !record_.empty() || !wire_->link.readable(side_, now_).empty();
}

bool SimLink::readable() {
  return !wire_->link.readable(side_, now_).empty() || over();
}

bool SimLink::writable() {
  return wire_->link.writable(side_, now_) || wire_->link.over(side_, now_);
}

std::optional<TcpAnswer> SimLink::tcp_answer(TimePoint now) {
  return wire_->link.tcp_answer(side_, now);
}

IoResult SimLink::fail(boost::system::errc::errc_t error) {
  failed_ = true;
  return {.status = Status::failed, .error = make_error_code(error)};
}

IoResult SimLink::read(std::span<const MutableBytes> pieces) {
  owner_.points.pass();
  const IoResult result = read_now(pieces);
  owner_.points.pass();
  return result;
}

IoResult SimLink::read_now(std::span<const MutableBytes> pieces) {
  readiness_.tries_to_read();
  require(!owner_.session.over(), "a link is read only as long as its session lasts", name(side_));
  const std::size_t room = total_bytes(pieces);
  require(room > 0, "reads into something", name(side_));
  const auto size_of_one_read = [&](std::size_t size) {
    return random_.chance(50) ? size : random_.between(1, size);
  };
  ConstBytes source = record_;
  if (record_.empty()) {
    source = wire_->link.readable(side_, now_);
    if (records_ && !source.empty()) {
      source = source.first(size_of_one_read(source.size()));
      record_.assign(source.begin(), source.end());
      wire_->link.take(side_, source.size());
      source = record_;
    }
  }
  if (source.empty()) {
    if (over()) {
      failed_ = true;
      if (random_.chance(50)) return {.status = Status::closed};
      return fail(boost::system::errc::connection_reset);
    }
    drained_ = true;
    readiness_.read = false;
    return {.status = Status::want_read, .drained = true};
  }

  source = source.first(size_of_one_read(std::min(source.size(), room)));
  const std::size_t count = source.size();
  for (const MutableBytes piece : pieces) {
    const std::size_t part = std::min(piece.size(), source.size());
    if (part == 0) break;
    std::memcpy(piece.data(), source.data(), part);
    source = source.subspan(part);
  }
  if (records_) {
    record_.erase(record_.begin(), record_.begin() + static_cast<std::ptrdiff_t>(count));
  } else {
    wire_->link.take(side_, count);
  }
  read_ = true;
  // A poll reports bytes left in the connection, but not bytes held in the record.
  drained_ = record_.empty() && random_.chance(has_bytes() ? 30 : 70);
  if (drained_) readiness_.read = false;
  return {.bytes = count, .drained = drained_};
}

IoResult SimLink::write(std::span<const ConstBytes> pieces) {
  owner_.points.pass();
  const IoResult result = write_now(pieces);
  owner_.points.pass();
  return result;
}

IoResult SimLink::write_now(std::span<const ConstBytes> pieces) {
  readiness_.tries_to_write();
  const std::size_t offered = total_bytes(pieces);
  require(offered > 0, "writes something", name(side_));
  if (wire_->link.over(side_, now_) && random_.chance(50)) {
    return fail(random_.chance(50) ? boost::system::errc::connection_reset
                                   : boost::system::errc::broken_pipe);
  }
  check_offered(pieces);
  if (wire_->swallows_over && offered > *wire_->swallows_over) wire_->link.swallow(side_);
  IoResult result;
  bool blocked = false;
  for (ConstBytes left : pieces) {
    while (!left.empty() && !blocked) {
      const std::size_t put = wire_->link.write(side_, left, now_);
      tap(left.first(put));
      left = left.subspan(put);
      result.bytes += put;
      blocked = put == 0 || random_.chance(10);
    }
    const std::size_t more = std::min(left.size(), kComparedBytes - offered_.size());
    offered_.insert(offered_.end(), left.begin(), left.begin() + static_cast<std::ptrdiff_t>(more));
  }
  if (result.bytes == 0) result.status = Status::want_write;
  result.drained = result.bytes == 0 || (result.bytes < offered && random_.chance(70));
  if (result.drained) readiness_.write = false;
  return result;
}

// The bytes that an earlier write did not take must be offered first.
void SimLink::check_offered(std::span<const ConstBytes> pieces) {
  std::size_t compared = 0;
  for (const ConstBytes piece : pieces) {
    const std::size_t part = std::min(piece.size(), offered_.size() - compared);
    require(std::equal(piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(part),
                       offered_.begin() + static_cast<std::ptrdiff_t>(compared)),
            "what was offered stays", "other bytes after a write that was not complete");
    compared += part;
  }
  require(compared == offered_.size(), "what was offered stays", "less than before");
  offered_.clear();
}

void SimLink::tap(ConstBytes bytes) {
  if (preface_ && !preface_->complete()) {
    require(preface_->receive(bytes).has_value(), "a WELCOME comes before any frame", name(side_));
  }
  if (bytes.empty()) return;
  const std::optional<std::uint64_t> taken_sequence =
      owner_.session.pipe().resetting() ? std::nullopt
                                        : std::optional(owner_.application.taken_sequence());
  wire_->taps[index(side_)].put(bytes, taken_sequence, wire_->taps[index(other(side_))]);
}

}  // namespace backedpipe::sim
