#include "session/accept/admission.hpp"

#include <set>

#include <gtest/gtest.h>

namespace backedpipe::test {
namespace {

using Ticket = Admission::Ticket;

TEST(Admission, LetsInAsManyAsItHolds) {
  Admission admission(3);
  std::set<Ticket> tickets;
  for (const char* source : {"a", "b", "a"}) {
    const auto admitted = admission.enter(source);
    EXPECT_FALSE(admitted.evicted);
    tickets.insert(admitted.ticket);
  }
  EXPECT_EQ(admission.size(), 3U);
  EXPECT_EQ(tickets.size(), 3U);
}

TEST(Admission, TheOldestOfTheBusiestGoes) {
  Admission admission(4);
  admission.enter("quiet");
  const Ticket oldest = admission.enter("busy").ticket;
  admission.enter("busy");
  admission.enter("busy");
  EXPECT_EQ(admission.enter("newcomer").evicted, oldest);
  EXPECT_EQ(admission.size(), 4U);
}

TEST(Admission, AFloodFromOneSourceThrowsOutItsOwnOnly) {
  Admission admission(8);
  std::set<Ticket> others;
  for (const char* source : {"10.0.0.1", "10.0.0.2", "192.0.2.7"})
    others.insert(admission.enter(source).ticket);
  for (int i = 0; i < 1000; ++i) {
    const auto admitted = admission.enter("198.51.100.1");
    if (admitted.evicted) {
      EXPECT_FALSE(others.contains(*admitted.evicted));
    }
    EXPECT_LE(admission.size(), 8U);
  }
  // A client that wants to resume still gets in.
  const auto admitted = admission.enter("203.0.113.5");
  ASSERT_TRUE(admitted.evicted);
  EXPECT_FALSE(others.contains(*admitted.evicted));
}

TEST(Admission, AmongEquallyBusySourcesTheOldestGoes) {
  Admission admission(3);
  const Ticket oldest = admission.enter("z").ticket;
  admission.enter("m");
  admission.enter("a");
  EXPECT_EQ(admission.enter("b").evicted, oldest) << "whatever its address";
}

TEST(Admission, ANewcomerIsNotItsOwnVictim) {
  Admission admission(2);
  admission.enter("m");
  admission.enter("z");
  const auto admitted = admission.enter("a");
  ASSERT_TRUE(admitted.evicted);
  EXPECT_NE(*admitted.evicted, admitted.ticket);
}

TEST(Admission, WhoLeavesMakesRoom) {
  Admission admission(2);
  const Ticket first = admission.enter("a").ticket;
  admission.enter("b");
  admission.leave(first);
  EXPECT_EQ(admission.size(), 1U);
  EXPECT_FALSE(admission.enter("c").evicted);
}

TEST(Admission, AVoidTicketMayLeaveAgain) {
  Admission admission(1);
  const Ticket first = admission.enter("a").ticket;
  EXPECT_EQ(admission.enter("a").evicted, first);
  admission.leave(first);
  admission.leave(12345);
  EXPECT_EQ(admission.size(), 1U);
}

TEST(Admission, HoldsAtLeastOne) {
  Admission admission(0);
  EXPECT_FALSE(admission.enter("a").evicted);
  EXPECT_TRUE(admission.enter("b").evicted);
  EXPECT_EQ(admission.size(), 1U);
}

}  // namespace
}  // namespace backedpipe::test
