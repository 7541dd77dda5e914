// Processes that use one vault are killed in turn, at any moment: while sockets come and go, while
// the vault is compacted, and while the next process takes over.
#include <array>
#include <atomic>
#include <cstdint>
#include <random>
#include <sched.h>
#include <set>
#include <sys/mman.h>
#include <sys/socket.h>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "net/keep/vault.hpp"
#include "tests/support/child_process.hpp"
#include "tests/support/descriptors.hpp"

namespace backedpipe::test {
namespace {

constexpr std::size_t kSlots = 400;
constexpr std::size_t kThreads = 2;

// What outlives the processes, as a ledger does. A slot has the cookie of a socket that is surely
// inside, or 0.
struct Ledger {
  std::array<std::atomic<std::uint64_t>, kSlots> slots;
  std::atomic<std::uint64_t> steps;
  std::atomic<bool> failed;
};

class KilledVaults : public testing::Test {
 protected:
  KilledVaults()
      : ends_(Vault::make_ends().value()),
        ledger_(static_cast<Ledger*>(::mmap(nullptr, sizeof(Ledger), PROT_READ | PROT_WRITE,
                                            MAP_SHARED | MAP_ANONYMOUS, -1, 0))) {}
  ~KilledVaults() override {
    ::munmap(ledger_, sizeof(Ledger));
    ::close(ends_.put);
    ::close(ends_.take);
  }

  // One process: takes over, then works for ever.
  void live(std::uint64_t seed) {
    Vault vault(ends_);
    std::vector<int> sockets(kSlots, -1);
    take_over(vault, sockets);
    const auto work = [&](std::size_t thread) {
      std::minstd_rand random(static_cast<unsigned>(seed * kThreads + thread));
      // From time to time most slots are empty, from time to time full.
      for (std::uint64_t i = 0;; ++i) {
        const bool filling = i / 500 % 2 == 0;
        const std::size_t slot = random() % (kSlots / kThreads) * kThreads + thread;
        if (random() % 64 == 0) vault.compact();
        if (sockets[slot] < 0 && (filling || random() % 8 == 0)) fill(vault, sockets, slot);
        if (sockets[slot] >= 0 && (!filling || random() % 8 == 0)) empty(vault, sockets, slot);
        ledger_->steps.fetch_add(1);
      }
    };
    std::thread other(work, 1);
    work(0);
  }

  void take_over(Vault& vault, std::vector<int>& sockets) {
    const Vault::Contents contents = vault.contents();
    for (const Vault::Kept& kept : contents.sockets) {
      std::size_t slot = 0;
      while (slot < kSlots && ledger_->slots[slot] != kept.cookie)
        ++slot;
      if (slot == kSlots) {
        ::close(kept.descriptor);
        continue;
      }
      sockets[slot] = kept.descriptor;
      if (!vault.adopt(kept.descriptor)) ledger_->failed = true;
      ledger_->steps.fetch_add(1);
    }
    for (std::size_t slot = 0; slot < kSlots; ++slot)
      if (ledger_->slots[slot] != 0 && sockets[slot] < 0) ledger_->failed = true;
    if (!contents.complete || !vault.compact()) ledger_->failed = true;
  }

  void fill(Vault& vault, std::vector<int>& sockets, std::size_t slot) {
    const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (!vault.put(socket)) ledger_->failed = true;
    ledger_->slots[slot] = cookie_of(socket);
    sockets[slot] = socket;
  }

  void empty(Vault& vault, std::vector<int>& sockets, std::size_t slot) {
    ledger_->slots[slot] = 0;
    vault.forget(sockets[slot]);
    ::close(std::exchange(sockets[slot], -1));
  }

  std::set<std::uint64_t> inside() const {
    Vault vault({.put = ::dup(ends_.put), .take = ::dup(ends_.take)});
    std::set<std::uint64_t> cookies;
    for (const Vault::Kept& kept : vault.contents().sockets) {
      cookies.insert(kept.cookie);
      ::close(kept.descriptor);
    }
    return cookies;
  }

  const VaultEnds ends_;
  Ledger* const ledger_;
};

TEST_F(KilledVaults, LoseNoLivingSocket) {
  std::minstd_rand random(1);
  std::size_t most = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    // Soon, which is while it takes over, or later.
    const std::uint64_t end = ledger_->steps + random() % (seed % 2 == 0 ? 300 : 3000);
    ChildProcess child([&](auto&) { live(seed); });
    while (ledger_->steps < end && !ledger_->failed)
      ::sched_yield();
    child.kill();
    ASSERT_FALSE(ledger_->failed) << "seed " << seed;
    const std::set<std::uint64_t> found = inside();
    std::size_t living = 0;
    for (const auto& cookie : ledger_->slots) {
      if (cookie == 0) continue;
      ++living;
      ASSERT_TRUE(found.contains(cookie)) << "seed " << seed;
    }
    most = std::max(most, living);
    // Those that were dead to the process before are still inside if this one was killed at once.
    ASSERT_LE(found.size(), 2 * kSlots) << "seed " << seed;
  }
  EXPECT_GT(most, kSlots / 2);
}

}  // namespace
}  // namespace backedpipe::test
