#include "session/dial/endpoint_race.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/pipe_fixture.hpp"

namespace backedpipe::test {
namespace {

using Failure = EndpointRace::Failure;
using enum AddressFamily;

// A race in virtual time: runs from one deadline to the next, as the shell does, and notes which
// address started when.
class EndpointRaceTest : public testing::Test {
 protected:
  struct Start {
    milliseconds when;
    EndpointRace::AddressId address;
    friend bool operator==(const Start&, const Start&) = default;
    friend void PrintTo(const Start& start, std::ostream* out) {
      *out << start.address << " at " << start.when.count() << " ms";
    }
  };

  EndpointRace& race(std::size_t unresolved = 0, RaceOptions options = {}) {
    race_.emplace(options, now_, unresolved);
    return *race_;
  }

  // Every try of `address` fails after this long.
  void fails(EndpointRace::AddressId address, Failure failure, milliseconds after) {
    fate_[address] = {failure, after};
  }

  milliseconds elapsed() const {
    return std::chrono::duration_cast<milliseconds>(now_ - at(seconds(0)));
  }

  // Runs until the race is lost or `until` has passed.
  void run(milliseconds until) {
    for (int step = 0; step < 1000; ++step) {
      while (const auto start = race_->next(now_))
        note(*start);
      struggled_ |= race_->struggles(now_);
      if (struggled_ && !struggled_at_) struggled_at_ = elapsed();
      if (race_->lost(now_)) return;
      TimePoint next = race_->deadline();
      for (const auto& [racer, end] : ends_)
        next = std::min(next, end.when);
      ASSERT_GT(next, now_) << "would spin";
      if (next > at(until)) {
        now_ = at(until);
        return;
      }
      now_ = next;
      fail_who_is_due();
    }
    FAIL() << "too many steps";
  }

  std::vector<Start> starts_;
  std::map<EndpointRace::RacerId, EndpointRace::AddressId> open_;
  std::size_t most_open_ = 0;
  bool struggled_ = false;
  std::optional<milliseconds> struggled_at_;
  std::optional<EndpointRace> race_;
  TimePoint now_ = at(seconds(0));

 private:
  struct Fate {
    Failure failure;
    milliseconds after;
  };
  struct End {
    TimePoint when;
    Failure failure;
  };

  void note(const EndpointRace::Start& start) {
    starts_.push_back({elapsed(), start.address});
    if (start.instead_of) {
      EXPECT_EQ(open_.erase(*start.instead_of), 1U);
      ends_.erase(*start.instead_of);
    }
    open_.emplace(start.racer, start.address);
    most_open_ = std::max(most_open_, open_.size());
    const auto fate = fate_.find(start.address);
    if (fate == fate_.end()) return;
    ends_[start.racer] = {now_ + fate->second.after, fate->second.failure};
  }

  void fail_who_is_due() {
    for (auto end = ends_.begin(); end != ends_.end();) {
      if (end->second.when > now_) {
        ++end;
        continue;
      }
      race_->failed(end->first, end->second.failure, now_);
      open_.erase(end->first);
      end = ends_.erase(end);
    }
  }

  std::map<EndpointRace::AddressId, Fate> fate_;
  std::map<EndpointRace::RacerId, End> ends_;
};

using Starts = std::vector<std::size_t>;

TEST_F(EndpointRaceTest, ADeadFirstEntryCosts250Milliseconds) {
  race().add(ipv4, 1);
  race_->add(ipv4, 2);
  run(milliseconds(300));
  EXPECT_EQ(starts_, (std::vector<Start>{{milliseconds(0), 0}, {milliseconds(250), 1}}));
}

// A dead address costs less time where answers come fast.
TEST_F(EndpointRaceTest, TheNextEntryWaitsAsLongAsTheLatestWinnerTook) {
  EXPECT_EQ(stagger_after(std::nullopt), milliseconds(250));
  EXPECT_EQ(stagger_after(milliseconds(1)), milliseconds(100));
  EXPECT_EQ(stagger_after(milliseconds(180)), milliseconds(180));
  EXPECT_EQ(stagger_after(seconds(2)), milliseconds(250));
}

TEST_F(EndpointRaceTest, ARefusedFirstEntryCostsNothing) {
  race().add(ipv4, 1);
  race_->add(ipv4, 2);
  fails(0, Failure::hard, milliseconds(1));
  run(milliseconds(300));
  EXPECT_EQ(starts_, (std::vector<Start>{{milliseconds(0), 0}, {milliseconds(1), 1}}));
}

TEST_F(EndpointRaceTest, FamiliesAlternateStartingWithTheFirst) {
  race();
  for (const AddressFamily family : {ipv6, ipv6, ipv6, ipv4, ipv4})
    race_->add(family, 1);
  run(milliseconds(1100));
  Starts first_tries;
  for (const Start& start : starts_)
    if (std::find(first_tries.begin(), first_tries.end(), start.address) == first_tries.end())
      first_tries.push_back(start.address);
  EXPECT_EQ(first_tries, (Starts{0, 3, 1, 4, 2}));
}

TEST_F(EndpointRaceTest, LowerRanksGoFirstWheneverTheyWereAdded) {
  race(1).add(ipv4, 2);
  race_->add(ipv4, 1);
  race_->resolved();
  run(milliseconds(300));
  EXPECT_EQ(starts_, (std::vector<Start>{{milliseconds(0), 1}, {milliseconds(250), 0}}));
}

TEST_F(EndpointRaceTest, ASilentAddressIsTriedAfreshEachPace) {
  race().add(ipv4, 1);
  run(milliseconds(2100));
  EXPECT_EQ(starts_, (std::vector<Start>{{milliseconds(0), 0},
                                         {milliseconds(500), 0},
                                         {milliseconds(1000), 0},
                                         {milliseconds(1500), 0},
                                         {milliseconds(2000), 0}}));
}

TEST_F(EndpointRaceTest, NoAddressHasMoreThanItsSocketsAndTheOldestStays) {
  race().add(ipv4, 1);
  race_->add(ipv6, 1);
  run(milliseconds(9900));
  EXPECT_EQ(most_open_, 6U);
  // The first try of each is still there, for a path that is merely slow.
  EXPECT_EQ(open_.begin()->first, 1U);
  EXPECT_EQ(std::next(open_.begin())->first, 2U);
}

TEST_F(EndpointRaceTest, ASilentRaceEndsAtItsLimit) {
  race().add(ipv4, 1);
  run(milliseconds(60000));
  EXPECT_TRUE(race_->lost(now_));
  EXPECT_TRUE(race_->timed_out(now_));
  EXPECT_EQ(elapsed(), milliseconds(10000));
  EXPECT_EQ(starts_.back().when, milliseconds(9500));
  EXPECT_FALSE(race_->rejected());
}

TEST_F(EndpointRaceTest, IsLostAtOnceWhenAllAddressesHaveFailedHard) {
  race().add(ipv4, 1);
  race_->add(ipv4, 2);
  fails(0, Failure::hard, milliseconds(2));
  fails(1, Failure::hard, milliseconds(300));
  run(milliseconds(60000));
  EXPECT_TRUE(race_->lost(now_));
  EXPECT_EQ(elapsed(), milliseconds(302));
  EXPECT_EQ(starts_.size(), 2U);
}

TEST_F(EndpointRaceTest, IsLostAfterOneRoundWhenThereIsNoNetwork) {
  race().add(ipv4, 1);
  race_->add(ipv6, 2);
  fails(0, Failure::soft, milliseconds(1));
  fails(1, Failure::soft, milliseconds(1));
  run(milliseconds(60000));
  EXPECT_TRUE(race_->lost(now_));
  EXPECT_EQ(elapsed(), milliseconds(2));
  EXPECT_EQ(starts_.size(), 2U);
  EXPECT_FALSE(struggled_) << "the loss says it already";
}

TEST_F(EndpointRaceTest, AnAddressThatFailsAfterAWhileIsTriedAgain) {
  race().add(ipv4, 1);
  fails(0, Failure::soft, milliseconds(300));
  run(milliseconds(1700));
  EXPECT_FALSE(race_->lost(now_));
  EXPECT_EQ(starts_, (std::vector<Start>{{milliseconds(0), 0},
                                         {milliseconds(500), 0},
                                         {milliseconds(1000), 0},
                                         {milliseconds(1500), 0}}));
}

TEST_F(EndpointRaceTest, AnAddressWithoutRouteIsRetriedBesideASilentOne) {
  race().add(ipv6, 1);
  race_->add(ipv4, 1);
  fails(0, Failure::soft, milliseconds(1));
  run(milliseconds(600));
  EXPECT_EQ(starts_, (std::vector<Start>{{milliseconds(0), 0},
                                         {milliseconds(1), 1},
                                         {milliseconds(500), 0},
                                         {milliseconds(501), 1}}));
  EXPECT_FALSE(struggled_);
}

TEST_F(EndpointRaceTest, RejectedIsReportedAsRejected) {
  race().add(ipv4, 1);
  race_->add(ipv4, 2);
  fails(0, Failure::rejected, milliseconds(20));
  fails(1, Failure::hard, milliseconds(20));
  run(milliseconds(60000));
  EXPECT_TRUE(race_->lost(now_));
  EXPECT_TRUE(race_->rejected());
  EXPECT_EQ(elapsed(), milliseconds(40));
}

TEST_F(EndpointRaceTest, WhoHasConnectedGetsTimeToAnswer) {
  race().add(ipv4, 1);
  const auto start = race_->next(now_);
  now_ = at(milliseconds(400));
  race_->connected(start->racer, now_);
  run(milliseconds(2100));
  // Four times the 400 ms that it took, beginning then.
  EXPECT_EQ(starts_, (std::vector<Start>{{milliseconds(2000), 0}}));
}

TEST_F(EndpointRaceTest, WhoHasConnectedAndFailedIsTriedAgainAtThePace) {
  race().add(ipv4, 1);
  const auto start = race_->next(now_);
  race_->connected(start->racer, now_);
  now_ = at(milliseconds(300));
  race_->failed(start->racer, Failure::soft, now_);
  run(milliseconds(600));
  EXPECT_EQ(starts_, (std::vector<Start>{{milliseconds(500), 0}}));
}

TEST_F(EndpointRaceTest, NamesWithoutAnswerHoldUpTheOthersFor50Milliseconds) {
  race(1).add(ipv4, 2);
  run(milliseconds(100));
  EXPECT_EQ(starts_, (std::vector<Start>{{milliseconds(50), 0}}));
}

TEST_F(EndpointRaceTest, AddressesAddedLaterTakeTheirTurn) {
  race(1).add(ipv4, 2);
  run(milliseconds(100));
  race_->add(ipv4, 1);
  race_->resolved();
  run(milliseconds(400));
  EXPECT_EQ(starts_, (std::vector<Start>{{milliseconds(50), 0}, {milliseconds(300), 1}}));
}

TEST_F(EndpointRaceTest, IsNotLostAsLongAsANameMayStillBring) {
  race(1).add(ipv4, 1);
  fails(0, Failure::hard, milliseconds(1));
  run(milliseconds(5000));
  EXPECT_FALSE(race_->lost(now_));
  EXPECT_EQ(struggled_at_, milliseconds(51)) << "every address there is has failed";
  race_->resolved();
  EXPECT_TRUE(race_->lost(now_));
}

TEST_F(EndpointRaceTest, IsLostWhenNoNameHasAnAddress) {
  race(2);
  race_->resolved();
  EXPECT_FALSE(race_->lost(now_));
  race_->resolved();
  EXPECT_TRUE(race_->lost(now_));
}

TEST_F(EndpointRaceTest, AWithdrawnAddressIsNotTriedAnyMore) {
  race().add(ipv4, 1);
  run(milliseconds(100));
  race_->withdraw(0);
  race_->add(ipv4, 1);
  run(milliseconds(1300));
  EXPECT_EQ(starts_, (std::vector<Start>{{milliseconds(0), 0},
                                         {milliseconds(250), 1},
                                         {milliseconds(750), 1},
                                         {milliseconds(1250), 1}}));
  race_->readmit(0);
  run(milliseconds(1400));
  EXPECT_EQ(starts_.back(), (Start{milliseconds(1300), 0}));
}

TEST_F(EndpointRaceTest, StrugglesAfterASecondOfSilenceAndSaysSoOnce) {
  race().add(ipv4, 1);
  run(milliseconds(999));
  EXPECT_FALSE(struggled_);
  run(milliseconds(1000));
  EXPECT_TRUE(struggled_);
  EXPECT_FALSE(race_->struggles(at(seconds(3))));
}

TEST_F(EndpointRaceTest, WithoutAPaceEachAddressIsTriedOnce) {
  race(0, {.pace = {}}).add(ipv4, 1);
  race_->add(ipv4, 2);
  fails(0, Failure::soft, milliseconds(400));
  fails(1, Failure::soft, milliseconds(3000));
  run(milliseconds(60000));
  EXPECT_EQ(starts_.size(), 2U);
  EXPECT_EQ(elapsed(), milliseconds(3250));
  EXPECT_TRUE(race_->lost(now_));
}

}  // namespace
}  // namespace backedpipe::test
