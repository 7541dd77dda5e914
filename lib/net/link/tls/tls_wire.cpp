#include "net/link/tls/tls_wire.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <new>
#include <sys/socket.h>

namespace backedpipe {
namespace {

// The most that one read takes from the socket. More would leave the processor's cache before it is
// decrypted.
constexpr std::size_t kInputBytes = std::size_t{256} << 10;
// The batch that is encrypted before it is sent follows what the socket takes at once. It is small
// on a slow link, where a large batch would only delay a PONG.
constexpr std::size_t kLeastBatchBytes = std::size_t{16} << 10;
constexpr std::size_t kFirstBatchBytes = std::size_t{64} << 10;
constexpr std::size_t kMostBatchBytes = std::size_t{256} << 10;
// A record with its overhead (RFC 8446, 5.2).
constexpr std::size_t kRecordBytes = (std::size_t{16} << 10) + 256 + 5;

}  // namespace

struct TlsWire::Shared {
  // Not a vector, which would touch every page: a page takes memory once a link needs it.
  std::unique_ptr<std::byte[]> input{new std::byte[kInputBytes]};
  std::unique_ptr<std::byte[]> output{new std::byte[kMostBatchBytes + 2 * kRecordBytes]};
  std::size_t output_bytes = 0;
  std::vector<Record> records;
};

TlsWire::Shared& TlsWire::shared() {
  static thread_local Shared buffers;
  return buffers;
}

TlsWire::TlsWire() : batch_bytes_(kFirstBatchBytes) {}

void TlsWire::attach(SSL* ssl) {
  BIO* bio = BIO_new(method());
  if (bio == nullptr) throw std::bad_alloc();
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl, bio, bio);
}

BIO_METHOD* TlsWire::method() {
  struct Free {
    void operator()(BIO_METHOD* made) const { BIO_meth_free(made); }
  };
  static const std::unique_ptr<BIO_METHOD, Free> kMethod = [] {
    std::unique_ptr<BIO_METHOD, Free> made(
        BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "link"));
    if (!made) throw std::bad_alloc();
    BIO_meth_set_read(made.get(), &TlsWire::on_read);
    BIO_meth_set_write(made.get(), &TlsWire::on_write);
    BIO_meth_set_ctrl(made.get(), &TlsWire::on_control);
    return made;
  }();
  return kMethod.get();
}

// --- receiving

TlsWire::Receiving::Receiving(TlsWire& wire, int socket, Reads reads, std::size_t room_bytes)
    : wire_(wire) {
  wire.socket_ = socket;
  wire.input_ = wire.kept_;
  wire.reads_ = reads;
  // The rest of an earlier record may complete one record more than this read brings.
  wire.room_bytes_ = std::clamp(room_bytes, 2 * kRecordBytes, kInputBytes) - kRecordBytes;
  wire.may_read_ = true;
  wire.drained_ = false;
}

TlsWire::Receiving::~Receiving() {
  const bool untouched =
      wire_.input_.data() == wire_.kept_.data() && wire_.input_.size() == wire_.kept_.size();
  if (!untouched) {
    wire_.kept_ = std::vector<std::byte>(wire_.input_.begin(), wire_.input_.end());
  }
  wire_.input_ = {};
}

// True if there is input now.
bool TlsWire::fill() {
  if (!input_.empty()) return true;
  if (!may_read_ || drained_) {
    errno = EAGAIN;
    return false;
  }
  may_read_ = reads_ == Reads::any;
  const std::array<MutableBytes, 1> room{MutableBytes(shared().input.get(), room_bytes_)};
  const IoResult result = read_some(socket_, room);
  drained_ = result.drained;
  ended_ = result.status == IoResult::Status::closed;
  if (result.status != IoResult::Status::ok) {
    errno = result.status == IoResult::Status::want_read ? EAGAIN : result.error.value();
    return false;
  }
  input_ = ConstBytes(shared().input.get(), result.bytes);
  return true;
}

int TlsWire::on_read(BIO* bio, char* into, int size) {
  TlsWire& wire = *static_cast<TlsWire*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  if (!wire.fill()) {
    if (wire.ended_) return 0;
    if (errno == EAGAIN) BIO_set_retry_read(bio);
    return -1;
  }
  const std::size_t count = std::min(static_cast<std::size_t>(size), wire.input_.size());
  std::memcpy(into, wire.input_.data(), count);
  wire.input_ = wire.input_.subspan(count);
  return static_cast<int>(count);
}

// --- sending

int TlsWire::on_write(BIO* bio, const char* bytes, int size) {
  TlsWire& wire = *static_cast<TlsWire*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  const auto count = static_cast<std::size_t>(size);
  if (wire.gathering_) {
    Shared& to = shared();
    // full() leaves room for a record of data and one of OpenSSL's own.
    if (to.output_bytes + count > kMostBatchBytes + 2 * kRecordBytes) return -1;
    std::memcpy(to.output.get() + to.output_bytes, bytes, count);
    to.output_bytes += count;
    return size;
  }
  // No other byte may come between two halves of a record.
  IoResult result{IoResult::Status::want_write, 0, true, {}};
  if (!wire.stuck()) {
    const std::array<ConstBytes, 1> piece{
        ConstBytes(reinterpret_cast<const std::byte*>(bytes), count)};
    result = write_some(wire.socket_, piece);
  }
  if (result.status == IoResult::Status::ok) return static_cast<int>(result.bytes);
  if (result.status == IoResult::Status::want_write) BIO_set_retry_write(bio);
  errno = result.status == IoResult::Status::want_write ? EAGAIN : result.error.value();
  return -1;
}

void TlsWire::gather(int socket) {
  socket_ = socket;
  gathering_ = true;
  Shared& to = shared();
  to.output_bytes = 0;
  to.records.clear();
}

void TlsWire::end_record(std::size_t plain_bytes) {
  Shared& to = shared();
  to.records.push_back({plain_bytes, to.output_bytes});
}

bool TlsWire::full() const {
  return shared().output_bytes >= batch_bytes_;
}

IoResult TlsWire::send(int socket) {
  gathering_ = false;
  if (broken_) return {IoResult::Status::failed, 0, true, broken_};
  Shared& made = shared();
  const ConstBytes bytes =
      stuck() ? ConstBytes(stuck_) : ConstBytes(made.output.get(), made.output_bytes);
  const std::span<const Record> records = stuck() ? stuck_records_ : made.records;
  if (bytes.empty()) return {};
  const std::array<ConstBytes, 1> piece{bytes};
  IoResult result = write_some(socket, piece);
  const std::size_t gone = result.bytes;
  result.bytes = 0;
  if (result.status == IoResult::Status::failed) broken_ = result.error;
  std::size_t complete = 0;
  for (; complete < records.size() && records[complete].end <= gone; ++complete)
    result.bytes += records[complete].plain_bytes;
  if (gone == bytes.size()) {
    if (gone >= batch_bytes_) batch_bytes_ = std::min(2 * batch_bytes_, kMostBatchBytes);
    if (stuck()) keep({}, {}, 0);
  } else {
    if (!stuck()) batch_bytes_ = std::max(batch_bytes_ / 2, kLeastBatchBytes);
    keep(bytes.subspan(gone), records.subspan(complete), gone);
    if (result.status == IoResult::Status::ok && result.bytes == 0)
      result.status = IoResult::Status::want_write;
  }
  return result;
}

// `rest` and `records` may refer to what is kept already.
void TlsWire::keep(ConstBytes rest, std::span<const Record> records, std::size_t gone_bytes) {
  std::vector<std::byte> bytes(rest.begin(), rest.end());
  std::vector<Record> ends(records.begin(), records.end());
  for (Record& record : ends)
    record.end -= gone_bytes;
  stuck_ = std::move(bytes);
  stuck_records_ = std::move(ends);
}

// --- what else OpenSSL asks of it

long TlsWire::on_control(BIO* bio, int command, long /*number*/, void* /*pointer*/) {
  const TlsWire& wire = *static_cast<const TlsWire*>(BIO_get_data(bio));
  switch (command) {
    case BIO_CTRL_FLUSH:
      return 1;
    case BIO_CTRL_EOF:
      return wire.ended_ ? 1 : 0;
    default:
      return 0;
  }
}

}  // namespace backedpipe
