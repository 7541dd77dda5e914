#include "net/keep/ledger_file.hpp"

#include <cstddef>
#include <cstring>
#include <string>

#include <gtest/gtest.h>

namespace backedpipe {
namespace {

constexpr LedgerSizes kSizes{
    .workers = 2, .records = 3, .segments = 4, .labels = 5, .tombstones = 2, .segment_bytes = 4096};

SessionId id_of(std::uint8_t first) {
  SessionId id;
  id.bytes[0] = first;
  return id;
}

TEST(LedgerFile, IsReadAsItWasWritten) {
  const LedgerFile file("test", kSizes);
  for (std::size_t worker = 0; worker < kSizes.workers; ++worker) {
    const LedgerFile::Section section = file.section(worker);
    ASSERT_EQ(section.records.size(), kSizes.records);
    section.records[2].id = id_of(static_cast<std::uint8_t>(worker + 1));
    section.links[3].number = 10 + worker;
    section.arena.back() = static_cast<std::byte>(20 + worker);
    LedgerFile::set(section.labels[4], "label " + std::to_string(worker));
  }
  const auto view = LedgerFileView::map(file.descriptor());
  ASSERT_TRUE(view.ok());
  for (std::size_t worker = 0; worker < kSizes.workers; ++worker) {
    const LedgerFileView::Section section = view->section(worker);
    EXPECT_EQ(section.records[2].id, id_of(static_cast<std::uint8_t>(worker + 1)));
    EXPECT_EQ(section.links[3].number, 10 + worker);
    EXPECT_EQ(section.arena.size(), std::size_t{kSizes.segments} * kSizes.segment_bytes);
    EXPECT_EQ(section.arena.back(), static_cast<std::byte>(20 + worker));
    EXPECT_EQ(LedgerFileView::label(section, 4), "label " + std::to_string(worker));
  }
}

TEST(LedgerFile, CountsOnlyOnceItIsComplete) {
  LedgerFile file("test", kSizes);
  EXPECT_FALSE(LedgerFileView::map(file.descriptor())->complete());
  file.complete();
  EXPECT_TRUE(LedgerFileView::map(file.descriptor())->complete());
}

TEST(LedgerFile, SaysHowTheStartWentWhenItsProcessDied) {
  LedgerFile file("test", kSizes);
  const auto left = [&file] { return LedgerFileView::map(file.descriptor())->header().crash_loop; };
  CrashLoop now{.starts = 4, .suspect_count = 1};
  now.suspects[0] = id_of(7);
  file.starts(now);
  {
    const LedgerFile::Turn turn(&file, id_of(9));
    EXPECT_NE(left().is_in_turn, 0U);
    EXPECT_EQ(left().in_turn, id_of(9));
  }
  EXPECT_EQ(left().is_in_turn, 0U);
  EXPECT_EQ(left().starts, 4U);
  EXPECT_TRUE(left().is_suspect(id_of(7)));
  { const LedgerFile::Turn none(nullptr, id_of(9)); }
  file.lasts();
  EXPECT_EQ(left().starts, 0U);
}

TEST(LedgerFile, AHeaderOfWhichAnyByteIsDamagedIsRefused) {
  const LedgerFile file("test", kSizes);
  const std::span<std::byte> header =
      std::as_writable_bytes(std::span(&file.header(), 1)).first(offsetof(LedgerHeader, complete));
  for (std::byte& byte : header) {
    byte ^= std::byte{1};
    EXPECT_FALSE(LedgerFileView::map(file.descriptor()).ok());
    byte ^= std::byte{1};
  }
  EXPECT_TRUE(LedgerFileView::map(file.descriptor()).ok());
}

TEST(LedgerFile, SmallerThanItsHeaderSaysIsRefused) {
  const LedgerFile file("test", kSizes);
  LedgerFile larger("test", {.workers = 2,
                             .records = 3,
                             .segments = 4000,
                             .labels = 5,
                             .tombstones = 2,
                             .segment_bytes = 4096});
  // The header of a larger one, with its own checksum.
  std::memcpy(&file.header(), &larger.header(), sizeof(LedgerHeader));
  const auto view = LedgerFileView::map(file.descriptor());
  ASSERT_FALSE(view.ok());
  EXPECT_EQ(view.error(), "it is shorter than its header says");
}

// 2^64 bytes more than the file has, so that a sum of 64 bits says that they are there.
TEST(LedgerFile, LargerThanNumbersCanSayIsRefused) {
  LedgerHeader header;
  header.magic = LedgerHeader::kMagic;
  header.format = LedgerHeader::kFormat;
  header.header_bytes = sizeof header;
  header.sizes = {.workers = 1, .segments = UINT32_MAX, .segment_bytes = UINT32_MAX - 13};
  header.checksum = checksum_of(header);
  const MemfdArena arena("test", std::size_t{5} << 30);  // of which one page is touched
  std::memcpy(arena.bytes().data(), &header, sizeof header);
  const auto view = LedgerFileView::map(arena.descriptor());
  ASSERT_FALSE(view.ok());
  EXPECT_EQ(view.error(), "it is shorter than its header says");
}

TEST(LedgerFile, ALabelThatIsDamagedOrNotThereIsNone) {
  const LedgerFile file("test", kSizes);
  LabelSlot& slot = file.section(0).labels[0];
  LedgerFile::set(slot, "ssh");
  const auto view = LedgerFileView::map(file.descriptor());
  ASSERT_TRUE(view.ok());
  const auto section = view->section(0);
  EXPECT_EQ(LedgerFileView::label(section, 0), "ssh");
  EXPECT_EQ(LedgerFileView::label(section, 1), std::nullopt);
  EXPECT_EQ(LedgerFileView::label(section, kSizes.labels), std::nullopt);
  slot.text[0] = 'x';
  EXPECT_EQ(LedgerFileView::label(section, 0), std::nullopt);
  slot.size_bytes = LabelSlot::kMostBytes + 1;
  EXPECT_EQ(LedgerFileView::label(section, 0), std::nullopt);
}

TEST(LedgerFile, GivesTheTombstonesThatAreNotDamaged) {
  const LedgerFile file("test", kSizes);
  LedgerFile::set(file.tombstones()[0], id_of(1), "laptop", Reason::closed, 77);
  LedgerFile::set(file.tombstones()[1], id_of(2), "desktop", Reason::expired, 78);
  file.tombstones()[1].reason = 1;
  const auto view = LedgerFileView::map(file.descriptor());
  ASSERT_TRUE(view.ok());
  const auto found = view->tombstones();
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].id, id_of(1));
  EXPECT_EQ(found[0].identity, "laptop");
  EXPECT_EQ(found[0].reason, Reason::closed);
  EXPECT_EQ(found[0].forget_at, 77U);
}

}  // namespace
}  // namespace backedpipe
