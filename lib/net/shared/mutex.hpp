// Mutex and MutexLock: std::mutex with clang's thread-safety annotations. "./dev lint" checks that
// guarded members are used with their lock held, and that no lock is forgotten or taken twice.
// Other compilers ignore the annotations. See "Thread Safety Analysis" in clang's documentation.
#pragma once

#include <mutex>

#if defined(__clang__)
#define BACKEDPIPE_ANNOTATION(what) __attribute__((what))
#else
#define BACKEDPIPE_ANNOTATION(what)
#endif

// On a class: it is a lock, or holds one for its lifetime.
#define CAPABILITY(name) BACKEDPIPE_ANNOTATION(capability(name))
#define SCOPED_CAPABILITY BACKEDPIPE_ANNOTATION(scoped_lockable)
// On a member: it may be used only with this lock held.
#define GUARDED_BY(lock) BACKEDPIPE_ANNOTATION(guarded_by(lock))
// On a function: its caller must hold the lock, or must not hold it.
#define REQUIRES(...) BACKEDPIPE_ANNOTATION(requires_capability(__VA_ARGS__))
#define EXCLUDES(...) BACKEDPIPE_ANNOTATION(locks_excluded(__VA_ARGS__))
// On a function: it acquires the lock, or releases it.
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

// Holds the lock for its lifetime.
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
