#include "net/keep/ledger_file.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "pipe/checksum.hpp"

namespace backedpipe {
namespace {

// Parts begin at whole pages, so that a part that is not used takes no memory.
constexpr std::size_t kPage = 4096;

constexpr std::size_t whole_pages(std::size_t bytes) {
  return (bytes + kPage - 1) / kPage * kPage;
}

// Where each part is, from the beginning of the file.
class Layout {
 public:
  explicit Layout(const LedgerSizes& sizes)
      : records_(whole_pages(std::size_t{sizes.records} * sizeof(LedgerRecord))),
        links_(whole_pages(std::size_t{sizes.segments} * sizeof(SegmentLink))),
        labels_(whole_pages(std::size_t{sizes.labels} * sizeof(LabelSlot))),
        arena_(whole_pages(std::size_t{sizes.segments} * sizes.segment_bytes)),
        workers_(whole_pages(sizeof(LedgerHeader)) +
                 whole_pages(std::size_t{sizes.tombstones} * sizeof(TombstoneSlot))) {}

  std::size_t tombstones() const { return whole_pages(sizeof(LedgerHeader)); }
  std::size_t records(std::size_t worker) const { return workers_ + worker * worker_bytes(); }
  std::size_t links(std::size_t worker) const { return records(worker) + records_; }
  std::size_t labels(std::size_t worker) const { return links(worker) + links_; }
  std::size_t arena(std::size_t worker) const { return labels(worker) + labels_; }
  std::size_t total(std::size_t workers) const { return workers_ + workers * worker_bytes(); }

 private:
  std::size_t worker_bytes() const { return records_ + links_ + labels_ + arena_; }

  std::size_t records_;
  std::size_t links_;
  std::size_t labels_;
  std::size_t arena_;
  std::size_t workers_;
};

template <typename Part, typename Bytes>
std::span<Part> part_at(Bytes bytes, std::size_t offset, std::size_t count) {
  return {reinterpret_cast<Part*>(bytes.data() + offset), count};
}

std::uint64_t text_checksum(std::string_view text) {
  return Checksum().add(std::as_bytes(std::span(text))).add(text.size()).value();
}

std::uint64_t slot_checksum(const TombstoneSlot& slot) {
  return Checksum()
      .add(slot.forget_at)
      .add(slot.id.bytes)
      .add(slot.reason)
      .add(slot.identity_bytes)
      .add(slot.identity)
      .value();
}

// Each part of a file of these sizes can be addressed, and all of them together as well.
bool are_possible(const LedgerSizes& sizes) {
  constexpr std::uint64_t kMost = std::uint64_t{1} << 46;
  // However many of them there are, 64 bits can count their bytes.
  constexpr std::uint32_t kMostSegmentBytes = 1 << 30;
  const std::uint64_t of_worker =
      (std::uint64_t{sizes.records} * sizeof(LedgerRecord)) +
      (std::uint64_t{sizes.labels} * sizeof(LabelSlot)) +
      (std::uint64_t{sizes.segments} * (sizeof(SegmentLink) + sizes.segment_bytes));
  return sizes.workers > 0 && sizes.workers <= 4096 && sizes.segment_bytes > 0 &&
         sizes.segment_bytes <= kMostSegmentBytes && of_worker < kMost / sizes.workers;
}

}  // namespace

std::uint64_t checksum_of(const LedgerHeader& header) {
  return Checksum()
      .add(header.magic)
      .add(header.format)
      .add(header.header_bytes)
      .add(header.sizes)
      .value();
}

LedgerFile::LedgerFile(const std::string& name, const LedgerSizes& sizes)
    : arena_(name, Layout(sizes).total(sizes.workers)) {
  LedgerHeader& header = this->header();
  header.magic = LedgerHeader::kMagic;
  header.format = LedgerHeader::kFormat;
  header.header_bytes = sizeof(LedgerHeader);
  header.sizes = sizes;
  header.checksum = checksum_of(header);
}

LedgerHeader& LedgerFile::header() const {
  return *reinterpret_cast<LedgerHeader*>(arena_.bytes().data());
}

void LedgerFile::complete() {
  std::atomic_ref(header().complete).store(1, std::memory_order_release);
}

void LedgerFile::starts(const CrashLoop& now) {
  CrashLoop& loop = header().crash_loop;
  loop.suspects = now.suspects;
  std::atomic_ref(loop.suspect_count).store(now.suspect_count, std::memory_order_release);
  std::atomic_ref(loop.is_in_turn).store(0, std::memory_order_release);
  std::atomic_ref(loop.starts).store(now.starts, std::memory_order_release);
}

LedgerFile::Turn::Turn(LedgerFile* file, const SessionId& session) : file_(file) {
  if (file_ == nullptr) return;
  CrashLoop& loop = file_->header().crash_loop;
  loop.in_turn = session;
  std::atomic_ref(loop.is_in_turn).store(1, std::memory_order_release);
}

LedgerFile::Turn::~Turn() {
  if (file_ == nullptr) return;
  std::atomic_ref(file_->header().crash_loop.is_in_turn).store(0, std::memory_order_release);
}

void LedgerFile::lasts() {
  std::atomic_ref(header().crash_loop.starts).store(0, std::memory_order_release);
}

LedgerFile::Section LedgerFile::section(std::size_t worker) const {
  const LedgerSizes& sizes = this->sizes();
  const Layout layout(sizes);
  const std::span<std::byte> bytes = arena_.bytes();
  return {.records = part_at<LedgerRecord>(bytes, layout.records(worker), sizes.records),
          .links = part_at<SegmentLink>(bytes, layout.links(worker), sizes.segments),
          .labels = part_at<LabelSlot>(bytes, layout.labels(worker), sizes.labels),
          .arena = bytes.subspan(layout.arena(worker),
                                 std::size_t{sizes.segments} * sizes.segment_bytes)};
}

std::span<TombstoneSlot> LedgerFile::tombstones() const {
  return part_at<TombstoneSlot>(arena_.bytes(), Layout(sizes()).tombstones(), sizes().tombstones);
}

void LedgerFile::set(LabelSlot& slot, std::string_view text) {
  std::atomic_ref(slot.checksum).store(0, std::memory_order_release);
  slot.size_bytes = static_cast<std::uint32_t>(text.size());
  std::copy(text.begin(), text.end(), slot.text.begin());
  std::atomic_ref(slot.checksum).store(text_checksum(text), std::memory_order_release);
}

void LedgerFile::set(TombstoneSlot& slot, const SessionId& id, std::string_view identity,
                     Reason reason, std::uint64_t forget_at) {
  std::atomic_ref(slot.checksum).store(0, std::memory_order_release);
  slot.forget_at = forget_at;
  slot.id = id;
  slot.reason = static_cast<std::uint16_t>(reason);
  slot.identity_bytes = static_cast<std::uint8_t>(identity.size());
  slot.identity = {};
  std::copy(identity.begin(), identity.end(), slot.identity.begin());
  std::atomic_ref(slot.checksum).store(slot_checksum(slot), std::memory_order_release);
}

// --- what another process has left

Checked<LedgerFileView> LedgerFileView::map(int descriptor) {
  const auto refuse = [](const std::string& why) { return Checked<LedgerFileView>::failure(why); };
  auto memory = MappedMemfd::map(descriptor);
  if (!memory) return refuse(memory.error());
  const std::span<const std::byte> bytes = memory->bytes();
  LedgerHeader header;
  if (bytes.size() < sizeof header) return refuse("it is shorter than its header");
  std::memcpy(&header, bytes.data(), sizeof header);
  if (header.magic != LedgerHeader::kMagic) return refuse("it is no ledger");
  if (header.format != LedgerHeader::kFormat) {
    return refuse("its format is " + std::to_string(header.format) + ", and this version knows " +
                  std::to_string(LedgerHeader::kFormat));
  }
  if (header.header_bytes != sizeof header || header.checksum != checksum_of(header)) {
    return refuse("its header is damaged");
  }
  if (!are_possible(header.sizes) ||
      Layout(header.sizes).total(header.sizes.workers) > bytes.size()) {
    return refuse("it is shorter than its header says");
  }
  return LedgerFileView(std::move(*memory), header);
}

LedgerFileView::Section LedgerFileView::section(std::size_t worker) const {
  const LedgerSizes& sizes = header_.sizes;
  const Layout layout(sizes);
  const std::span<const std::byte> bytes = memory_.bytes();
  return {.records = part_at<const LedgerRecord>(bytes, layout.records(worker), sizes.records),
          .links = part_at<const SegmentLink>(bytes, layout.links(worker), sizes.segments),
          .labels = part_at<const LabelSlot>(bytes, layout.labels(worker), sizes.labels),
          .arena = bytes.subspan(layout.arena(worker),
                                 std::size_t{sizes.segments} * sizes.segment_bytes)};
}

std::optional<std::string_view> LedgerFileView::label(const Section& section,
                                                      std::uint32_t number) {
  if (number >= section.labels.size()) return std::nullopt;
  const LabelSlot& slot = section.labels[number];
  if (slot.size_bytes > LabelSlot::kMostBytes) return std::nullopt;
  const std::string_view text(slot.text.data(), slot.size_bytes);
  if (slot.checksum != text_checksum(text)) return std::nullopt;
  return text;
}

std::vector<LedgerFileView::Tombstone> LedgerFileView::tombstones() const {
  std::vector<Tombstone> found;
  const auto slots = part_at<const TombstoneSlot>(
      memory_.bytes(), Layout(header_.sizes).tombstones(), header_.sizes.tombstones);
  for (const TombstoneSlot& slot : slots) {
    if (slot.checksum == 0 || slot.checksum != slot_checksum(slot)) continue;
    found.push_back({.id = slot.id,
                     .identity = std::string(slot.identity.data(), slot.identity_bytes),
                     .reason = static_cast<Reason>(slot.reason),
                     .forget_at = slot.forget_at});
  }
  return found;
}

}  // namespace backedpipe
