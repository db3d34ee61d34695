import GGUF
import Plan
import Quantize

/// A plan as text and as JSON.
struct PlanReport {
  let plan: MemoryPlan
  /// Indices of the rows to show.
  let shown: [Int]
  /// Name of the machine for `quantize --fit`; nil if it has none.
  let machine: String?
  let warnings: [String]

  init(
    _ plan: MemoryPlan, types: [String], mixes: [PlannedMix], machine: String?, target: ByteSize?
  ) throws {
    self.plan = plan
    self.machine = machine
    let wanted = try types.map { name -> String in
      let full = StockMix(name: name)?.rawValue ?? name
      guard let mix = mixes.first(where: { $0.name.lowercased() == full.lowercased() }) else {
        throw Failure(
          .usage, "--type \(name): no such mix", hint: "known: " + mixes.map(\.name).joined(separator: ", ")
        ).suggesting(name, among: mixes.map(\.name))
      }
      return mix.name
    }
    let always: Set<String> = ["unchanged", "target"]
    shown = plan.rows.indices.filter {
      wanted.isEmpty || wanted.contains(plan.rows[$0].name) || always.contains(plan.rows[$0].name)
    }
    var warnings: [String] = []
    if let trained = plan.dimensions.trainedContext, plan.context > trained {
      let scaling = plan.dimensions.ropeScaling.map { "its rope scaling: \($0)" } ?? "it has no rope scaling"
      warnings.append(
        "a context of \(Figures.grouped(plan.context)) is beyond the \(Figures.grouped(trained)) tokens that "
          + "\(plan.model.name) was trained for; \(scaling)")
    }
    if let latent = plan.dimensions.latent, latent.isExpanded, let now = plan.cache.bytesPerToken(.f16),
      let other = KeyValueCache(plan.dimensions, expanded: false).bytesPerToken(.f16), other > 0
    {
      warnings.append(
        "\(plan.model.name) has the old form of latent attention, whose cache is "
          + "\(now / other) times larger; convert the checkpoint again for the current form")
    }
    let window = plan.dimensions.unattributedWindow
    if window > 0 {
      warnings.append(
        "layers of \(plan.model.name) with a window of \(Figures.grouped(window)) tokens cache less: the size is an upper bound"
      )
    }
    if let target, let smallest = plan.rows.filter({ $0.name != "target" }).min(by: { $0.fileBytes < $1.fileBytes }),
      target.bytes < smallest.fileBytes
    {
      warnings.append(
        "a target of \(Figures.bytes(target.bytes)) is below the smallest mix, \(smallest.name) of "
          + Figures.bytes(smallest.fileBytes))
    }
    self.warnings = warnings
  }

  // MARK: Text

  var text: String {
    var parts = [head, table]
    parts.append(([budget] + compatibility).joined(separator: "\n"))
    return parts.joined(separator: "\n\n")
  }

  private var head: String {
    let model = plan.dimensions
    var lines: [(String, String)] = []
    var shape = "\(model.architecture), \(Figures.grouped(plan.weights)) weights, \(model.layers) layers"
    if model.experts > 0 { shape += ", \(model.expertsUsed) of \(model.experts) experts" }
    if let trained = model.trainedContext { shape += ", trained for \(Figures.grouped(trained)) tokens" }
    lines.append((plan.model.name, shape))
    let machine = plan.machine
    var memory = "\(Figures.bytes(machine.usable)) usable"
    memory += " (\(Figures.bytes(machine.limit)) less \(Figures.bytes(machine.reserve)) for the system)"
    memory += machine.bandwidth.map { ", " + Figures.bytes(Int($0)) + "/s" } ?? ", bandwidth unknown: give --bandwidth"
    lines.append((machine.title, memory))
    lines.append(("context \(Figures.grouped(plan.context))", cacheText))
    lines.append(
      (
        "activations",
        "\(Figures.bytes(plan.working.activations)), and \(Figures.bytes(plan.working.overhead)) overhead"
      ))
    let kind =
      switch plan.metadata.kind {
      case .exact where plan.model.outputForm == nil:
        ", and a recipe in each file; importance and error feedback add about 1 kB"
      case .exact: ""
      case .published: ", as in its published files"
      case .estimated: ", estimated: there is no tokenizer to measure"
      }
    lines.append(("metadata", "\(Figures.grouped(plan.metadata.bytes)) bytes\(kind)"))
    let width = lines.map(\.0.count).max() ?? 0
    return lines.map { title, text in
      wrapped(title + String(repeating: " ", count: width - title.count + 2) + text, indent: width + 2)
    }.joined(separator: "\n")
  }

  private var cacheText: String {
    let type = plan.cacheType
    let perToken = plan.cache.bytesPerToken(type) ?? 0
    var text = "\(Figures.bytes(plan.cacheBytes)) of \(type.rawValue) cache, \(Figures.grouped(perToken)) bytes a token"
    if let windows = plan.cache.windowBytes(context: plan.context, type), windows > 0 {
      text += ", \(Figures.bytes(windows)) of windows"
    }
    if plan.cache.stateBytes > 0 { text += ", \(Figures.bytes(plan.cache.stateBytes)) of states" }
    if let latent = plan.dimensions.latent,
      let other = KeyValueCache(plan.dimensions, expanded: !latent.isExpanded).bytes(context: plan.context, type)
    {
      text += latent.isExpanded ? "; current form" : "; old form"
      text += " \(Figures.bytes(other))"
    }
    return text
  }

  private var table: String {
    let best = plan.best
    // The column for the mark is left out if no row has it.
    let mark = best.map { shown.contains($0) } == true ? [("", Table.Alignment.left)] : []
    var table = Table(
      [
        ("mix", .left), ("tensor bytes", .right), ("file", .right), ("bpw", .right), ("needs", .right),
        ("fits", .left), ("t/s", .right), ("full", .right), ("KLD*", .right),
      ] + mark)
    func speed(_ value: Double?, _ row: PlanRow) -> String {
      row.fits ? value.map { Figures.fixed($0, 1) } ?? "-" : "-"
    }
    func drift(_ row: PlanRow) -> String {
      guard let value = plan.expectedDrift(of: row) else { return "" }
      return (row.publishedDrift == nil ? "≤ " : "") + Figures.fixed(value, 3)
    }
    for index in shown {
      let row = plan.rows[index]
      var cells = [
        row.name + (row.needsImportance ? " †" : ""), Figures.grouped(row.tensorBytes), Figures.bytes(row.fileBytes),
        Figures.fixed(row.bitsPerWeight, 3), Figures.bytes(row.totalBytes), row.fits ? "yes" : "no",
        speed(row.tokensPerSecond, row), speed(row.tokensPerSecondAtFullContext, row),
        drift(row),
      ]
      if !mark.isEmpty { cells.append(index == best ? "◀ best" : "") }
      table.add(cells)
    }
    var notes = ["t/s: tokens per second, estimated; full: with \(Figures.grouped(plan.context)) tokens in the cache"]
    if shown.contains(where: { plan.expectedDrift(of: plan.rows[$0]) != nil }) {
      notes.append("* mean KL divergence as published for \(PublishedDrift.model); larger models lose less")
    }
    if shown.contains(where: { plan.rows[$0].needsImportance }) { notes.append("† needs an importance matrix") }
    return table.rendered() + "\n" + notes.joined(separator: "\n")
  }

  private var budget: String {
    guard plan.largestFile > 0 else { return "cache and activations alone exceed what is usable" }
    let cache = plan.cacheType == .f16 ? "" : " --kv \(plan.cacheType.rawValue)"
    let wired =
      plan.machine.isMac && plan.machine.limit == plan.machine.memory
      ? "\nmacOS lets the GPU hold that much after: sudo sysctl iogpu.wired_limit_mb=\(plan.machine.usable >> 20)" : ""
    // The mark is in the table only if the row is.
    let best =
      plan.best.map { shown.contains($0) ? "" : "best mix that fits: \(plan.rows[$0].name)\n" } ?? ""
    let command = machine.map { machine in
      "\n  qtool quantize MODEL --fit \(machine) --context \(plan.context)\(cache) makes one of that size"
    }
    return best
      + "largest file that fits: \(Figures.grouped(plan.largestFile)) bytes, \(Figures.bytes(plan.largestFile))"
      + (plan.unchangedBytes <= plan.largestFile ? "; the model fits as it is" : command ?? "") + wired
  }

  /// Programs that open the shown rows, grouped by verdict.
  private var compatibility: [String] {
    let rows = shown.map { plan.rows[$0] }.filter { $0.compatibility != nil }
    if rows.isEmpty, plan.model.outputForm != nil { return [] }
    var lines: [String] = []
    for program in Compatibility.Program.allCases {
      var groups: [(reason: String, names: [String])] = []
      for row in rows {
        guard let verdict = row.compatibility?[program] else { continue }
        let reason = program == .mlx && !verdict.opens ? "" : (verdict.opens ? "" : "no: ") + verdict.reason
        if let index = groups.firstIndex(where: { $0.reason == reason }) {
          groups[index].names.append(row.name)
        } else {
          groups.append((reason, [row.name]))
        }
      }
      groups.removeAll { $0.reason.isEmpty }
      let title = program.rawValue + ": "
      if groups.isEmpty {
        lines.append(title + "none of these: it keeps only Q4_0, Q4_1 and Q8_0 of a GGUF")
      } else if groups.count == 1, groups[0].names.count == rows.count {
        lines.append(title + groups[0].reason)
      } else {
        lines += groups.enumerated().map { index, group in
          let start = index == 0 ? title : String(repeating: " ", count: title.count)
          return wrapped(start + group.reason + ": " + group.names.joined(separator: " "), indent: title.count)
        }
      }
    }
    return lines
  }

}

extension MemoryPlan {
  /// Bytes of the model as it is: where it fits, `--fit` has nothing to make.
  var unchangedBytes: Int { model.tensors.reduce(metadata.bytes) { $0 + ($1.shape.bytes(as: $1.type) ?? 0) } }

  /// - Throws: `PlanError` of kind `unfit` that names the smallest file and the memory that it needs.
  func checkThatSomethingFits() throws {
    guard let smallest, !smallest.fits else { return }
    throw PlanError(
      .unfit,
      "nothing fits \(machine.title): the smallest, \(smallest.name) of \(Figures.bytes(smallest.fileBytes)), needs "
        + "\(Figures.bytes(smallest.totalBytes)), but \(Figures.bytes(machine.usable)) are usable",
      hint: "plan a shorter --context, --kv q8_0, or a machine with more memory")
  }
}
