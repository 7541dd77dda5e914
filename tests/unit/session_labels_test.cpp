#include "net/session/session_labels.hpp"

#include <string>

#include <gtest/gtest.h>

namespace backedpipe {
namespace {

SessionLabels labels_of(const std::string& identity) {
  return {
      .service = "shell", .tunnel = "ssh", .peer = "office", .identity = identity, .listener = {}};
}

TEST(SharedLabels, GivesTheSameToAllWhoHaveThem) {
  SharedLabels shared;
  const auto first = shared.of(labels_of("laptop"));
  EXPECT_EQ(shared.of(labels_of("laptop")), first);
  EXPECT_NE(shared.of(labels_of("desktop")), first);
  EXPECT_EQ(first->identity, "laptop");
}

TEST(SharedLabels, ForgetsWhatNobodyHasAnyMore) {
  SharedLabels shared;
  const auto kept = shared.of(labels_of("laptop"));
  for (int i = 0; i < 1000; ++i)
    shared.of(labels_of("guest " + std::to_string(i)));
  EXPECT_LT(shared.size(), 50U);
  EXPECT_EQ(shared.of(labels_of("laptop")), kept);
}

TEST(SharedLabels, AreReadBackAsTheyWereRecorded) {
  const SessionLabels labels = labels_of("laptop");
  EXPECT_EQ(decode_labels(encode(labels)), labels);
}

TEST(SharedLabels, TextThatIsNoSetOfNamesIsRefused) {
  const std::string text = encode(labels_of("laptop"));
  for (std::size_t size = 0; size < text.size(); ++size)
    EXPECT_EQ(decode_labels(std::string_view(text).substr(0, size)), std::nullopt) << size;
  EXPECT_EQ(decode_labels(text + "more"), std::nullopt);
}

}  // namespace
}  // namespace backedpipe
