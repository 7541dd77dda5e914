// Lines out of a stream of bytes, however the bytes are cut and whatever they are.
#include "control/line_buffer.hpp"

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

namespace backedpipe {
namespace {

using Lines = std::vector<std::string>;

void take_all(LineBuffer& buffer, Lines& lines) {
  while (auto line = buffer.next())
    lines.push_back(*std::move(line));
}

// Every line of a stream that comes in pieces of this size.
Lines lines_of(std::string_view stream, std::size_t piece_bytes, std::size_t max_line_bytes) {
  LineBuffer buffer(max_line_bytes);
  Lines lines;
  for (; !stream.empty(); stream.remove_prefix(std::min(piece_bytes, stream.size()))) {
    buffer.append(stream.substr(0, piece_bytes));
    take_all(buffer, lines);
  }
  return lines;
}

TEST(LineBuffer, FindsTheSameLinesInAnyFragmentation) {
  const std::string_view stream = "one\ntwo\r\n\n\r\na\rb\r\r\nfive six\nunfinished";
  const Lines expected{"one", "two", "", "", "a\rb\r", "five six"};
  for (std::size_t piece = 1; piece <= stream.size(); ++piece)
    EXPECT_EQ(lines_of(stream, piece, 16), expected) << piece;
  for (std::size_t cut = 0; cut <= stream.size(); ++cut) {
    LineBuffer buffer(16);
    Lines lines;
    buffer.append(stream.substr(0, cut));
    take_all(buffer, lines);
    buffer.append(stream.substr(cut));
    take_all(buffer, lines);
    EXPECT_EQ(lines, expected) << cut;
  }
}

TEST(LineBuffer, KeepsEveryByteButTheEndOfTheLine) {
  const std::string bytes("\0\xff\x01 \t\r x", 8);
  EXPECT_EQ(lines_of(bytes + "\n", 3, 64), Lines{bytes});
}

TEST(LineBuffer, TakesManyLinesFromOneCall) {
  std::string stream;
  for (int i = 0; i < 100'000; ++i)
    stream += "x\n";
  EXPECT_EQ(lines_of(stream, stream.size(), 1).size(), 100'000U);
}

TEST(LineBuffer, HasNoLineBeforeItsEndCame) {
  LineBuffer buffer(16);
  EXPECT_EQ(buffer.next(), std::nullopt);
  buffer.append("");
  buffer.append("half");
  EXPECT_EQ(buffer.next(), std::nullopt);
  EXPECT_EQ(buffer.next(), std::nullopt);
  buffer.append(" a line\n");
  EXPECT_EQ(buffer.next(), "half a line");
  EXPECT_EQ(buffer.next(), std::nullopt);
  EXPECT_FALSE(buffer.overflowed());
}

TEST(LineBuffer, TakesALineOfExactlyTheLimitWithEitherEnd) {
  for (const std::string_view end : {"\n", "\r\n"}) {
    for (std::size_t piece = 1; piece <= 10; ++piece) {
      EXPECT_EQ(lines_of("12345678" + std::string(end), piece, 8), Lines{"12345678"}) << piece;
      EXPECT_EQ(lines_of("123456789" + std::string(end), piece, 8), Lines{}) << piece;
    }
  }
}

TEST(LineBuffer, OverflowsAsSoonAsALineIsTooLong) {
  LineBuffer buffer(8);
  buffer.append("12345678");
  EXPECT_EQ(buffer.next(), std::nullopt);
  EXPECT_FALSE(buffer.overflowed());
  buffer.append("9");
  EXPECT_EQ(buffer.next(), std::nullopt);
  EXPECT_TRUE(buffer.overflowed());
}

TEST(LineBuffer, OverflowsWhenACarriageReturnWasNotTheEnd) {
  LineBuffer buffer(8);
  buffer.append("12345678\r");
  EXPECT_EQ(buffer.next(), std::nullopt);
  EXPECT_FALSE(buffer.overflowed());
  buffer.append("\r");
  EXPECT_EQ(buffer.next(), std::nullopt);
  EXPECT_TRUE(buffer.overflowed());
}

TEST(LineBuffer, GivesOutTheLinesBeforeAnOverlongOneAndNoneAfterIt) {
  LineBuffer buffer(4);
  buffer.append("one\ntwo\noverlong\nthree\n");
  Lines lines;
  take_all(buffer, lines);
  EXPECT_EQ(lines, (Lines{"one", "two"}));
  EXPECT_TRUE(buffer.overflowed());
  buffer.append("four\n");
  EXPECT_EQ(buffer.next(), std::nullopt);
  EXPECT_TRUE(buffer.overflowed());
}

}  // namespace
}  // namespace backedpipe
