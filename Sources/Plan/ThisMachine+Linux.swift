#if os(Linux)
  import Foundation

  extension Machines {
    static var described: Machine {
      Machine(memory: usableMemory, bandwidth: nil, reserve: nil, name: "this", title: "this machine")
    }

    /// A container's limit may be below the machine's memory.
    private static var usableMemory: Int {
      let physical = Int(clamping: ProcessInfo.processInfo.physicalMemory)
      guard let text = try? String(contentsOfFile: "/sys/fs/cgroup/memory.max", encoding: .utf8),
        let limit = Int(text.trimmingCharacters(in: .whitespacesAndNewlines)), limit > 0
      else { return physical }
      return min(physical, limit)
    }
  }
#endif
