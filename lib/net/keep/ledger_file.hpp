// LedgerFile: the memory of a process's ledger, in one memfd: for each worker its records, the list
// of its segments, its outbound bytes and the names its sessions go by; and for all of them the
// tombstones. LedgerFileView is how the next process reads it: whatever it says is checked first.
//
//   [header][tombstones][worker 0: records, links, labels, arena][worker 1: ...]...
//
// Most of it is never touched, and takes no memory. Owned by the Node; each part is used by one
// thread, the tombstones under the lock of the SessionDirectory.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/checked.hpp"
#include "net/keep/memfd_arena.hpp"
#include "pipe/ledger.hpp"
#include "session/crash_loop.hpp"

namespace backedpipe {

// How much there is of each part.
struct LedgerSizes {
  std::uint32_t workers = 1;
  std::uint32_t records = 0;     // of each worker
  std::uint32_t segments = 0;    // of each worker
  std::uint32_t labels = 0;      // of each worker
  std::uint32_t tombstones = 0;  // of all
  std::uint32_t segment_bytes = 0;
};

// The names of a session, which many sessions share; see SessionLabels.
struct LabelSlot {
  static constexpr std::size_t kMostBytes = 1024 - 16;

  std::uint64_t checksum = 0;  // of the size and the bytes; stored last
  std::uint32_t size_bytes = 0;
  std::uint32_t unused = 0;
  std::array<char, kMostBytes> text{};
};

struct TombstoneSlot {
  static constexpr std::size_t kMostIdentityBytes = 255;

  std::uint64_t checksum = 0;   // of all the rest; stored last
  std::uint64_t forget_at = 0;  // steady clock, in nanoseconds
  SessionId id;
  std::uint16_t reason = 0;
  std::uint8_t identity_bytes = 0;
  std::array<char, kMostIdentityBytes> identity{};
};

struct LedgerHeader {
  static constexpr std::uint64_t kMagic = 0x31474c4450504b42;  // "BKPPDLG1"
  static constexpr std::uint32_t kFormat = 1;

  std::uint64_t magic = 0;
  std::uint32_t format = 0;
  std::uint32_t header_bytes = 0;
  LedgerSizes sizes;
  std::uint64_t checksum = 0;  // of the above
  // Not 0: everything that the process before had left has been restored into this one.
  std::uint32_t complete = 0;
  std::uint32_t unused = 0;
  std::uint64_t processes = 0;  // how many processes have continued the one before them
  std::uint64_t began_at = 0;   // the first of them: wall clock, in nanoseconds since 1970
  CrashLoop crash_loop;
};

std::uint64_t checksum_of(const LedgerHeader& header);

class LedgerFile {
 public:
  // Throws std::system_error, see MemfdArena.
  LedgerFile(const std::string& name, const LedgerSizes& sizes);

  int descriptor() const { return arena_.descriptor(); }
  const LedgerSizes& sizes() const { return header().sizes; }
  LedgerHeader& header() const;
  // From now on this file counts, and no older one.
  void complete();

  // --- how the start of this process goes; see CrashLoop

  // It is about to restore sessions.
  void starts(const CrashLoop& now);
  // As long as this exists, it is the turn of this session. Does nothing if `file` is null.
  class Turn {
   public:
    Turn(LedgerFile* file, const SessionId& session);
    ~Turn();
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

   private:
    LedgerFile* file_;
  };
  // It has lasted, or ends in order.
  void lasts();

  struct Section {
    std::span<LedgerRecord> records;
    std::span<SegmentLink> links;
    std::span<LabelSlot> labels;
    std::span<std::byte> arena;
  };
  Section section(std::size_t worker) const;
  std::span<TombstoneSlot> tombstones() const;

  static void set(LabelSlot& slot, std::string_view text);
  static void set(TombstoneSlot& slot, const SessionId& id, std::string_view identity,
                  Reason reason, std::uint64_t forget_at);

 private:
  MemfdArena arena_;
};

class LedgerFileView {
 public:
  // The descriptor stays the caller's. The error is a sentence that says what is wrong with it.
  static Checked<LedgerFileView> map(int descriptor);

  const LedgerHeader& header() const { return header_; }
  bool complete() const { return header_.complete != 0; }

  struct Section {
    std::span<const LedgerRecord> records;
    std::span<const SegmentLink> links;
    std::span<const LabelSlot> labels;
    std::span<const std::byte> arena;
  };
  Section section(std::size_t worker) const;

  // The text of a slot; nothing if it is damaged or there is none of that number.
  static std::optional<std::string_view> label(const Section& section, std::uint32_t number);

  struct Tombstone {
    SessionId id;
    std::string identity;
    Reason reason = Reason::none;
    std::uint64_t forget_at = 0;
  };
  // Those that are not damaged.
  std::vector<Tombstone> tombstones() const;

 private:
  LedgerFileView(MappedMemfd memory, const LedgerHeader& header)
      : memory_(std::move(memory)), header_(header) {}

  MappedMemfd memory_;
  LedgerHeader header_;  // a copy, checked
};

}  // namespace backedpipe
