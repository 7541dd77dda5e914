// LedgerFileView: whatever file a process is given as the ledger of the one before is refused, or
// read within its bounds. Input: 1 byte that chooses between a file of the fuzzer's bytes and a real
// one in which some of it is overwritten; then that.
#include "net/keep/ledger_file.hpp"

#include <cstring>
#include <fcntl.h>
#include <string>
#include <sys/mman.h>
#include <unistd.h>

#include "net/session/session_labels.hpp"
#include "session/recover.hpp"
#include "tests/fuzz/input.hpp"

namespace backedpipe::fuzz {
namespace {

template <typename Part>
void look_at(std::span<const Part> parts) {
  if (parts.empty()) return;
  // Read, so that the system or a sanitizer notices a place that is not there.
  for (const Part* part : {&parts.front(), &parts.back()}) {
    volatile std::byte sum{};
    for (const std::byte byte : std::as_bytes(std::span(part, 1)))
      sum = sum ^ byte;
  }
}

void look_at(const LedgerFileView& view) {
  const LedgerSizes& sizes = view.header().sizes;
  for (std::size_t worker = 0; worker < sizes.workers; ++worker) {
    const LedgerFileView::Section section = view.section(worker);
    look_at(section.records);
    look_at(section.links);
    look_at(section.labels);
    look_at(section.arena);
    for (std::uint32_t number = 0; number < section.labels.size(); ++number) {
      const auto text = LedgerFileView::label(section, number);
      if (!text) continue;
      if (const auto labels = decode_labels(*text))
        require(encode(*labels) == *text, "names are recorded in one way only");
    }
    require(!LedgerFileView::label(section, sizes.labels), "there is no label after the last");
    const LedgerView ledger{.records = section.records,
                            .links = section.links,
                            .arena = section.arena,
                            .segment_bytes = sizes.segment_bytes};
    for (const LedgerRecord& record : section.records)
      static_cast<void>(
          recover(ledger, record,
                  TcpMoved{.taken = record.written_offset, .given = record.delivered_offset}));
  }
  for (const LedgerFileView::Tombstone& tombstone : view.tombstones())
    require(tombstone.identity.size() <= TombstoneSlot::kMostIdentityBytes, "identities are short");
}

void read_any_file(FuzzInput& input) {
  const auto bytes = input.rest();
  const int file = ::memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  require(file >= 0, "there are files in memory");
  require(::write(file, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()),
          "a file takes bytes");
  require(::fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK) == 0, "a file can be sealed");
  const auto view = LedgerFileView::map(file);
  ::close(file);
  if (view) look_at(*view);
}

template <typename Bytes>
void overwrite_some(Bytes parts, FuzzInput& input) {
  const auto bytes = std::as_writable_bytes(parts);
  for (std::uint8_t left = input.byte() % 16; left > 0 && !bytes.empty(); --left)
    bytes[input.number(2) % bytes.size()] = static_cast<std::byte>(input.byte());
}

void fill(const LedgerFile& file, FuzzInput& input) {
  for (TombstoneSlot& slot : file.tombstones()) {
    SessionId id;
    id.bytes[0] = input.byte();
    const auto identity = input.take(input.byte());
    LedgerFile::set(slot, id, text_of(identity), static_cast<Reason>(input.number(2)),
                    input.number(8));
  }
  for (std::size_t worker = 0; worker < file.sizes().workers; ++worker) {
    const LedgerFile::Section section = file.section(worker);
    for (LabelSlot& slot : section.labels)
      LedgerFile::set(slot, text_of(input.take(input.number(2) % LabelSlot::kMostBytes)));
    for (LedgerRecord& record : section.records) {
      const auto bytes = input.take(input.byte() % sizeof record);
      if (!bytes.empty()) std::memcpy(static_cast<void*>(&record), bytes.data(), bytes.size());
      record.checksum = checksum_of(record);
      record.socket_checksum = socket_checksum_of(record);
    }
  }
}

void read_overwritten_file(FuzzInput& input) {
  const auto few = [&input] { return std::uint32_t{input.byte() % 4U}; };
  const LedgerFile file("fuzz", {.workers = 1 + few(),
                                 .records = few(),
                                 .segments = few(),
                                 .labels = few(),
                                 .tombstones = few(),
                                 .segment_bytes = 1 + few() * 100});
  fill(file, input);
  require(LedgerFileView::map(file.descriptor()).ok(), "what was written is read");
  for (std::size_t worker = 0; worker < file.sizes().workers; ++worker) {
    const LedgerFile::Section section = file.section(worker);
    overwrite_some(section.records, input);
    overwrite_some(section.links, input);
    overwrite_some(section.labels, input);
  }
  overwrite_some(file.tombstones(), input);
  if (const auto view = LedgerFileView::map(file.descriptor()); view) look_at(*view);
  // The parts of the file do not move with its header.
  overwrite_some(std::span(&file.header(), 1), input);
  if (input.coin()) file.header().checksum = checksum_of(file.header());
  if (const auto view = LedgerFileView::map(file.descriptor()); view) look_at(*view);
}

}  // namespace
}  // namespace backedpipe::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  backedpipe::fuzz::FuzzInput input(data, size);
  if (input.coin()) {
    backedpipe::fuzz::read_any_file(input);
  } else {
    backedpipe::fuzz::read_overwritten_file(input);
  }
  return 0;
}
