// Mutex and MutexLock: std::mutex with clang's thread-safety annotations, which "./dev lint" checks:
// what is guarded is used with its lock held, and no lock is forgotten or taken twice. To other
// compilers the annotations are nothing. See "Thread Safety Analysis" in clang's documentation.
#pragma once

#include <mutex>

#if defined(__clang__)
#define BACKEDPIPE_ANNOTATION(what) __attribute__((what))
#else
#define BACKEDPIPE_ANNOTATION(what)
#endif

// Of a class: it is a lock, or holds one for as long as it lives.
#define CAPABILITY(name) BACKEDPIPE_ANNOTATION(capability(name))
#define SCOPED_CAPABILITY BACKEDPIPE_ANNOTATION(scoped_lockable)
// Of a member: it is used with this lock held.
#define GUARDED_BY(lock) BACKEDPIPE_ANNOTATION(guarded_by(lock))
// Of a function: its caller holds the lock, or does not hold it.
#define REQUIRES(...) BACKEDPIPE_ANNOTATION(requires_capability(__VA_ARGS__))
#define EXCLUDES(...) BACKEDPIPE_ANNOTATION(locks_excluded(__VA_ARGS__))
// Of a function: it takes the lock, or gives it back.
#define ACQUIRE(...) BACKEDPIPE_ANNOTATION(acquire_capability(__VA_ARGS__))
#define RELEASE(...) BACKEDPIPE_ANNOTATION(release_capability(__VA_ARGS__))

namespace backedpipe {

class CAPABILITY("mutex") Mutex {
 public:
  void lock() ACQUIRE() { mutex_.lock(); }
  void unlock() RELEASE() { mutex_.unlock(); }

 private:
  std::mutex mutex_;
};

// Holds the lock for as long as it lives.
class SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~MutexLock() RELEASE() { mutex_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

}  // namespace backedpipe
