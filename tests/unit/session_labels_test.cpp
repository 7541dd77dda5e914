#include "net/session_labels.hpp"

#include <string>

#include <gtest/gtest.h>

namespace backedpipe {
namespace {

SessionLabels labels_of(const std::string& identity) {
  return {.tunnel = "ssh", .peer = "office", .identity = identity, .listener = {}};
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
  auto one = shared.of(labels_of("laptop"));
  auto other = shared.of(labels_of("laptop"));
  shared.released(one);
  EXPECT_EQ(shared.size(), 1U) << "the other has them still";
  one.reset();
  shared.released(other);
  EXPECT_EQ(shared.size(), 0U);
  EXPECT_EQ(other->peer, "office") << "who released them last has them as long as it likes";
  EXPECT_NE(shared.of(labels_of("laptop")), other);
}

}  // namespace
}  // namespace backedpipe
