/// Machines known by name, with the sources of their figures.
public enum Machines {
  /// Default reserve for windows and other programs.
  package static let reserve = 2_000_000_000

  /// Bytes of a gigabyte of memory chips: 256 GB of unified memory are 256 x 2^30.
  private static let GiB = 1 << 30

  private static let apple = "Apple's technical specifications"
  private static let nvidia = "NVIDIA's data sheet"
  private static let threeQuarters = "75 % of memory, what macOS allows by default"

  /// All machines that are known by name.
  public static let all: [Machine] = [
    Machine(
      name: "m3-ultra-96", title: "Mac Studio M3 Ultra, 96 GB", memory: 96 * GiB, limit: 72 * GiB,
      limitSource: threeQuarters + " (72 GiB logged on a 96 GB Mac, llama.cpp #3213)", bandwidth: 819e9,
      bandwidthSource: apple, reserve: reserve, isMac: true),
    Machine(
      name: "m3-ultra-256", title: "Mac Studio M3 Ultra, 256 GB", memory: 256 * GiB, limit: 239_000_000_000,
      limitSource: "recommendedMaxWorkingSetSize, 239 GB as published for this machine (Rapid-MLX #183)",
      bandwidth: 819e9, bandwidthSource: apple, reserve: reserve, isMac: true),
    Machine(
      name: "m3-ultra-512", title: "Mac Studio M3 Ultra, 512 GB", memory: 512 * GiB, limit: 464 * GiB,
      limitSource: "recommendedMaxWorkingSetSize, 464 GiB as published for this machine", bandwidth: 819e9,
      bandwidthSource: apple, reserve: reserve, isMac: true),
    Machine(
      name: "m4-max-64", title: "Mac Studio M4 Max, 64 GB", memory: 64 * GiB, limit: 48 * GiB,
      limitSource: "recommendedMaxWorkingSetSize, 51,539.61 MB in logs of 64 GB M1 Max and M2 Max (55,662 MB on newer "
        + "macOS)",
      bandwidth: 546e9, bandwidthSource: apple, reserve: reserve, isMac: true),
    Machine(
      name: "m4-max-128", title: "Mac Studio M4 Max, 128 GB", memory: 128 * GiB, limit: 96 * GiB,
      limitSource: "recommendedMaxWorkingSetSize, 96 GiB as published for a 128 GB M3 Max (107.5 GiB on macOS 26)",
      bandwidth: 546e9, bandwidthSource: apple, reserve: reserve, isMac: true),
    Machine(
      name: "m2-ultra-192", title: "Mac Studio M2 Ultra, 192 GB", memory: 192 * GiB, limit: 144 * GiB,
      limitSource: threeQuarters, bandwidth: 800e9, bandwidthSource: apple,
      efficiency: measured(
        0.65, "Llama-3-70B Q4_K_M at 12.48 tokens per second (XiongjieDai, GPU-Benchmarks-on-LLM-Inference)"),
      reserve: reserve, isMac: true),
    Machine(
      name: "rtx-4090", title: "NVIDIA RTX 4090, 24 GB", memory: 24 * GiB, limit: 24_564 << 20,
      limitSource: "24,564 MiB as nvidia-smi shows them", bandwidth: 1008e9, bandwidthSource: nvidia,
      efficiency: measured(
        0.60, "Llama-3-8B Q4_K_M at 130.58 tokens per second (XiongjieDai, GPU-Benchmarks-on-LLM-Inference)"),
      reserve: 800_000_000),
    Machine(
      name: "h100", title: "NVIDIA H100 SXM, 80 GB", memory: 80 * GiB, limit: 81_559 << 20,
      limitSource: "81,559 MiB as nvidia-smi shows them", bandwidth: 3350e9, bandwidthSource: nvidia,
      efficiency: measured(
        0.37, "Qwen3.6-27B Q4_K_M of 16.8 GB at 74 tokens per second (P. Khmel, 13 GPUs and 10 models, June 2026)"),
      reserve: 800_000_000),
  ]

  /// Memory bandwidth in GB/s by the chip's name in macOS; the lower of two where a chip was sold with both.
  static let appleBandwidth: [String: Double] = [
    "Apple M1": 68, "Apple M1 Pro": 200, "Apple M1 Max": 400, "Apple M1 Ultra": 800,
    "Apple M2": 100, "Apple M2 Pro": 200, "Apple M2 Max": 400, "Apple M2 Ultra": 800,
    "Apple M3": 100, "Apple M3 Pro": 150, "Apple M3 Max": 300, "Apple M3 Ultra": 819,
    "Apple M4": 120, "Apple M4 Pro": 273, "Apple M4 Max": 410, "Apple M5": 153,
  ]

  /// Default where the chip was not measured. By bytes read per token, Llama-3.3-70B Q4_K_M at 14.41 tokens per second
  /// reaches 74 % of 819 GB/s, and DeepSeek-R1 Q4_K_M at 20.21 reaches 55 % (its experts are scattered in memory).
  static let efficiency = Machine.Efficiency(
    dense: 0.74, experts: 0.55, source: "Llama-3.3-70B and DeepSeek-R1 Q4_K_M, measured on an M3 Ultra")

  /// Measured on a dense model only; the ratio between mixtures and dense models is the M3 Ultra's.
  private static func measured(_ dense: Double, _ source: String) -> Machine.Efficiency {
    Machine.Efficiency(dense: dense, experts: dense * efficiency.experts / efficiency.dense, source: source)
  }

  /// Looks up a machine. Spaces, dashes, case and a trailing "GB" are ignored; `this` is the machine that runs the
  /// program.
  ///
  /// - Throws: ``PlanError`` with the known names.
  public static func named(_ name: String) throws(PlanError) -> Machine {
    if name.lowercased() == "this" { return this }
    func plain(_ name: String) -> String {
      let letters = name.lowercased().filter { $0.isLetter || $0.isNumber }
      return letters.hasSuffix("gb") ? String(letters.dropLast(2)) : letters
    }
    // h100-80 and rtx-4090-24 name the only memory size that exists.
    let plainName = plain(name)
    func matches(_ machine: Machine) -> Bool {
      [plain(machine.name), plain(machine.name) + "\(machine.memory / GiB)"].contains(plainName)
    }
    guard let machine = all.first(where: matches) else {
      throw PlanError(
        .usage, topic: .machine, "there is no machine \(name)",
        hint: "known: this, " + all.map(\.name).joined(separator: ", "))
    }
    return machine
  }
}
