// Ledger: what the next process must know to continue the sessions of this one, however this one
// ends. It lies in memory that outlives the process, beside the arena that holds the outbound bytes,
// and is written as the state changes: there is no later moment at which it could be written. It is
// memory that was handed to this class: no I/O.
//
// A killed process loses no store that it has made, so what a reader finds depends only on the order
// of the stores, which the compiler keeps because each is an atomic release. What is told to the
// outside is recorded before it is told, if the next process must not fall behind it; otherwise it
// may be recorded later, because it can be found out anew. Each function of LedgerEntry says which.
//
// One Ledger per worker, on its thread. Each session has a LedgerEntry; an empty one records nothing.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <type_traits>
#include <vector>

#include "pipe/segment_pool.hpp"
#include "proto/reason.hpp"
#include "proto/session_id.hpp"

namespace backedpipe {

// One session, as it lies in memory. All integers are in the machine's order: no other machine reads
// them. Whatever is found here after a crash is checked like input from outside.
struct alignas(64) LedgerRecord {
  enum class State : std::uint32_t {
    free,     // the rest has no meaning
    session,  // a session
  };
  // In the upper half of the same word is the Reason of a reset; none: it is not being reset.
  static constexpr int kReasonShift = 16;
  enum Flag : std::uint32_t {
    kFinished = 1,          // the application has ended its stream
    kFinAcknowledged = 2,   // and the peer has acknowledged that
    kEndDelivered = 4,      // the peer's end of stream has been passed on to the application
    kApplicationReset = 8,  // the application is, or is to be, reset
    kConfirmed = 16,        // see Session::confirmed
    kSaidHello = 32,        // see DiallingSide::ServerKnows
    kWelcomed = 64,
    kConnected = 128,  // the fields of the application's connection have been set
    kUncounted = 256,  // the system does not count the bytes of this kind of connection
    kReading = 512,    // a read from such a connection may be under way
    kWriting = 1024,   // a write to it, or the passing on of an end
  };

  // --- change as bytes move

  std::uint64_t acknowledged_offset = 0;  // of the outbound stream
  std::uint64_t written_offset = 0;
  std::uint64_t highest_sent = 0;      // as in BackedWriter
  std::uint64_t delivered_offset = 0;  // of the inbound stream
  std::uint64_t window_limit = 0;
  std::uint64_t highest_generation = 0;
  std::uint32_t first_segment = 0;  // of the outbound bytes, as index + 1; 0: none
  std::uint32_t flags = 0;
  std::uint64_t detached_since = 0;  // steady clock, in nanoseconds; 0: it has a link

  // --- change rarely

  std::uint64_t links = 0;
  std::uint32_t restores = 0;  // how often the session has been continued by another process
  State state = State::free;

  Reason reset_reason() const { return static_cast<Reason>(flags >> kReasonShift); }

  // --- the application's connection, set once it is there; see kConnected

  std::uint64_t socket = 0;          // names the connection for as long as the system runs
  std::uint64_t taken_baseline = 0;  // what the system had counted when the session began
  std::uint64_t given_baseline = 0;
  std::uint64_t socket_checksum = 0;  // of these three

  // --- do not change

  SessionId id{};
  std::uint64_t created_at = 0;  // wall clock, in nanoseconds since 1970
  std::uint32_t labels = 0;      // which names it goes by; the owner of the ledger knows them
  std::uint32_t role = 0;        // Role
  std::uint64_t checksum = 0;    // of the fields of this part

  // --- changes with the link

  // How long the session may be without a link because one of its daemons has parted, in
  // nanoseconds; 0: as long as the settings allow.
  std::uint64_t grace = 0;
};
static_assert(std::is_trivially_copyable_v<LedgerRecord> && sizeof(LedgerRecord) == 192);

std::uint64_t checksum_of(const LedgerRecord& record);
std::uint64_t socket_checksum_of(const LedgerRecord& record);

// One segment of the arena, in a session's list.
struct SegmentLink {
  std::uint64_t number;  // offset of its first byte in the stream, divided by the segment's size
  std::uint32_t next;    // index + 1; 0: it is the last one
  std::uint32_t unused;
};

class Ledger {
 public:
  // Asked before each store. The simulation ends the process at some of them.
  class Watch {
   public:
    virtual ~Watch() = default;
    // False: the store is not made.
    virtual bool may_store() = 0;
  };

  // Both spans must outlive the ledger. `records` are all free; `links` has one for each segment of
  // the arena of outbound bytes.
  Ledger(std::span<LedgerRecord> records, std::span<SegmentLink> links);
  Ledger(const Ledger&) = delete;
  Ledger& operator=(const Ledger&) = delete;

  void watch(Watch* watch) { watch_ = watch; }
  // What is recorded now is what the next process continues with: nothing is stored any more, and
  // new sessions get no record.
  void freeze();

  // A free record; null when all are in use, and once frozen. The one freed last comes first.
  LedgerRecord* allocate();
  std::size_t in_use() const { return next_ - freed_.size(); }

  template <typename Value>
  void store(Value& field, std::type_identity_t<Value> value) {
    if (watch_ != nullptr && !watch_->may_store()) return;
    std::atomic_ref(field).store(value, std::memory_order_release);
  }

 private:
  friend class LedgerEntry;

  std::span<LedgerRecord> records_;
  std::span<SegmentLink> links_;
  std::vector<std::uint32_t> freed_;
  std::size_t next_ = 0;  // records from here on were never used
  Watch* watch_ = nullptr;
  bool frozen_ = false;
};

// What one session writes into its record.
class LedgerEntry {
 public:
  // What is known when the session begins.
  struct Beginning {
    SessionId id;
    std::uint32_t role = 0;
    std::uint32_t labels = 0;
    std::uint32_t restores = 0;
    std::uint64_t created_at = 0;
    std::uint64_t detached_since = 0;
  };
  // An application's connection.
  struct Connection {
    std::uint64_t socket = 0;
    std::uint64_t taken_baseline = 0;
    std::uint64_t given_baseline = 0;
    bool uncounted = false;
  };

  // Records nothing.
  LedgerEntry() = default;
  // Takes a record. Records nothing if the ledger has none left.
  LedgerEntry(Ledger& ledger, const Beginning& beginning);
  LedgerEntry(LedgerEntry&& other) noexcept;
  LedgerEntry& operator=(LedgerEntry&&) = delete;
  // The session is over, and all that is told of its end has been recorded elsewhere.
  ~LedgerEntry() { erase(); }
  void erase();

  bool kept() const { return record_ != nullptr; }
  // Precondition: kept().
  const LedgerRecord& record() const { return *record_; }

  // --- segments of outbound bytes

  // After the segment `after`, or as the first. Before bytes are read into it.
  void enter(SegmentIndex segment, std::uint64_t number, std::optional<SegmentIndex> after);
  // The list begins with this segment, or is empty. Before the others are freed.
  void first_is(std::optional<SegmentIndex> segment);
  // The list ends with this segment. Before the others are freed.
  void last_is(SegmentIndex segment);

  // --- the outbound stream

  // Everything before `offset` is forgotten. Before its segments leave the list.
  void acknowledged(std::uint64_t offset) { set(&LedgerRecord::acknowledged_offset, offset); }
  // The application has written everything before `offset`. Before the next read: from what the
  // system has counted the next process knows what was read and not recorded.
  void written(std::uint64_t offset) { set(&LedgerRecord::written_offset, offset); }
  // Everything before `sequence` may be sent from now on. Before it is sent; too high does no harm.
  void sending(std::uint64_t sequence) {
    if (kept() && sequence > record_->highest_sent) set(&LedgerRecord::highest_sent, sequence);
  }
  // May be recorded late: the next process reads the end again, and hears again what the peer has.
  void finished() { raise(LedgerRecord::kFinished); }
  void fin_acknowledged() { raise(LedgerRecord::kFinAcknowledged); }

  // --- the inbound stream

  // May be recorded late, but before the next write: the system has counted it.
  void delivered(std::uint64_t offset) { set(&LedgerRecord::delivered_offset, offset); }
  void end_delivered() { raise(LedgerRecord::kEndDelivered); }
  // Before the limit is stated: a handshake must not state a lower one later.
  void stating_limit(std::uint64_t limit) { set(&LedgerRecord::window_limit, limit); }

  // --- the session

  // Before a handshake states it.
  void generation(std::uint64_t generation) { set(&LedgerRecord::highest_generation, generation); }
  // Dialling side. The first before the HELLO, the second before anything is delivered.
  void said_hello() { raise(LedgerRecord::kSaidHello); }
  void welcomed() { raise(LedgerRecord::kWelcomed); }
  void confirmed() { raise(LedgerRecord::kConfirmed); }
  void links(std::uint64_t count) { set(&LedgerRecord::links, count); }
  void attached() {
    grace(0);
    set(&LedgerRecord::detached_since, 0);
  }
  void detached(std::uint64_t since) { set(&LedgerRecord::detached_since, since); }
  // Only while it is detached. Without it the session lives longer, which does no harm.
  void grace(std::uint64_t time) {
    if (kept() && record_->grace != time) set(&LedgerRecord::grace, time);
  }
  // Before the peer is told.
  void resetting(Reason reason);
  // Before the application is reset. If found, it is reset again.
  void resetting_application(Reason reason);

  // --- the application's connection

  // Before anything is read from it or written to it.
  void connected(const Connection& connection);
  // Around reads and writes that nobody counts. If one is found to be under way, nobody knows how
  // far it came, and the session cannot continue.
  void begin(LedgerRecord::Flag intent) {
    if (counts_itself()) raise(intent);
  }
  void done(LedgerRecord::Flag intent) {
    if (counts_itself()) lower(intent);
  }

 private:
  bool counts_itself() const { return kept() && (record_->flags & LedgerRecord::kUncounted) != 0; }
  template <typename Value>
  void set(Value LedgerRecord::*field, std::type_identity_t<Value> value) {
    if (kept()) ledger_->store(record_->*field, value);
  }
  void raise(std::uint32_t flags) {
    if (!kept() || (record_->flags & flags) == flags) return;
    set(&LedgerRecord::flags, record_->flags | flags);
  }
  void lower(std::uint32_t flag) { set(&LedgerRecord::flags, record_->flags & ~flag); }

  Ledger* ledger_ = nullptr;
  LedgerRecord* record_ = nullptr;
};

}  // namespace backedpipe
