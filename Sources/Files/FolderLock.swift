import Synchronization

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// A lock on a folder, by which readers of its files exclude a run that removes them.
///
/// All locks of a process on one folder are one: a process does not exclude itself.
public final class FolderLock: Sendable {
  private struct Entry {
    let descriptor: Int32
    var count = 1
  }

  private static let entries = Mutex<[FileIdentity: Entry]>([:])
  private let path: String
  private let identity: FileIdentity?

  /// Locks a folder together with other readers. A file system without locks, or a folder that can't be opened, is read
  /// without.
  ///
  /// - Throws: ``FileError`` of code EBUSY where another process removes files of the folder.
  public init(sharing path: String) throws(FileError) {
    self.path = path
    guard let identity = FileIdentity(path: path) else {
      identity = nil
      return
    }
    let (isLocked, error): (Bool, FileError?) = Self.entries.withLock { entries in
      if entries[identity] != nil {
        entries[identity]?.count += 1
        return (true, nil)
      }
      let descriptor = open(path, O_RDONLY | O_CLOEXEC)
      guard descriptor >= 0 else { return (false, nil) }
      guard flock(descriptor, LOCK_SH | LOCK_NB) == 0 else {
        let code = errno
        close(descriptor)
        return (false, code == EWOULDBLOCK ? FileError(.lock, path: path, code: EBUSY) : nil)
      }
      entries[identity] = Entry(descriptor: descriptor)
      return (true, nil)
    }
    self.identity = isLocked ? identity : nil
    if let error { throw error }
  }

  /// Excludes all other processes for as long as this process has a lock on the folder.
  ///
  /// - Throws: ``FileError`` of code EBUSY where another process reads files of the folder, and of another code where the
  ///   file system has no locks.
  public func exclude() throws(FileError) {
    let code: Int32 = Self.entries.withLock { entries in
      guard let identity, let descriptor = entries[identity]?.descriptor else { return ENOLCK }
      return flock(descriptor, LOCK_EX | LOCK_NB) == 0 ? 0 : errno
    }
    if code != 0 { throw FileError(.lock, path: path, code: code == EWOULDBLOCK ? EBUSY : code) }
  }

  deinit {
    guard let identity else { return }
    Self.entries.withLock { entries in
      guard var entry = entries[identity] else { return }
      entry.count -= 1
      entries[identity] = entry.count > 0 ? entry : nil
      guard entry.count == 0 else { return }
      // Closing alone would leave the lock to a child process between fork and exec.
      flock(entry.descriptor, LOCK_UN)
      close(entry.descriptor)
    }
  }
}
