import Checkpoint
import Fit
import GGUF
import Perplexity
import Quantize
import Tensors
import TestSupport
import Testing
import Tokenizers
import Transformer

@Suite struct SensitivityRunTests {
  let model: any ModelSource
  let windows: ScoringWindows

  init() throws {
    model = try openModel(path: Repository.demoModel)
    let tokenizer = try Tokenizer(metadata: model.metadata)
    let text = (0..<60).map { "A \($0)th sentence stands here, and says what the one before it said.\n" }.joined()
    windows = try ScoringWindows(tokens: tokenizer.encode(text), context: 64, bos: tokenizer.bos, limit: 3)
  }

  private func run(memory: Int? = nil) -> SensitivityRun {
    SensitivityRun(
      probes: Probes(source: model, importance: nil, windows: windows, options: ForwardOptions(memory: memory)),
      types: [.q2_K, .q3_K, .q4_K])
  }

  /// Two bands: seven classes in each, the embedding and the output.
  @Test func bandsAreProbedTogether() throws {
    var run = run()
    run.bands = 2
    let recorder = RunRecorder()
    let table = try run.run(progress: recorder)
    #expect(table.probes.count == 16)
    #expect(recorder.isOrdered && recorder.heard.last?.fraction == 1)
    let probe = try #require(table.probes.first { $0.name == "blk.2-3.ffn_down.weight" })
    #expect(probe.tensors == ["blk.2.ffn_down.weight", "blk.3.ffn_down.weight"])
    #expect(table.entries.filter { probe.tensors.contains($0.tensor) }.map(\.probe) == [probe.name, probe.name])

    // Equal to rounding both layers in one whole run, where every window counts by the inverse of all probes' divergence.
    let mixes = table.probes.map { probe in
      model.tensors.map { probe.tensors.contains($0.name) ? GGMLType.q3_K : $0.type }
    }
    let trials = try MixTrials(source: model, importance: nil, options: ForwardOptions()).drifts(
      of: mixes, windows: windows
    ).map { drift in
      windows.windows.indices.map { window in
        let rows = windows.scored.count
        return drift.divergences[window * rows..<(window + 1) * rows].reduce(0, +) / Double(rows)
      }
    }
    let sums = windows.windows.indices.map { window in trials.reduce(0) { $0 + $1[window] } }
    let mean = sums.reduce(0, +) / Double(sums.count)
    // No window has less than a quarter of the mean, so that each gets a weight of mean / sum.
    try #require(sums.allSatisfy { $0 > mean / 4 } && sums.max()! > 1.05 * sums.min()!)
    for (probe, trial) in zip(table.probes, trials) {
      let expected = zip(trial, sums).reduce(0) { $0 + $1.0 * mean / $1.1 } / Double(sums.count)
      #expect(abs(probe.divergence - expected) < 1e-3 * expected, "\(probe.name)")
    }
  }

  @Test func spilledStatesGiveTheSameProbes() throws {
    var roomy = run()
    roomy.bands = 1
    let one = try roomy.run()
    let other = try withFixedThreads { try inLeastMemory() }
    for (probe, spilled) in zip(one.probes, other.probes) {
      #expect(probe.name == spilled.name)
      #expect(abs(probe.divergence - spilled.divergence) <= 1e-6 * probe.divergence)
    }
  }

  /// A run works with the memory that the error of a smaller budget requires.
  private func inLeastMemory() throws -> SensitivityTable {
    var memory = 1
    while true {
      var run = run(memory: memory)
      run.bands = 1
      do {
        return try run.run()
      } catch ForwardError.budgetTooSmall(let bytes, let minimum) {
        #expect(minimum > bytes)
        memory = max(minimum, memory + 1)
      }
    }
  }

  @Test func anInterruptedRunGoesOn() throws {
    let whole = try run().run()
    var saved: SensitivityTable?
    let stopping = RunRecorder { if $0.steps.last == 12 { throw StoppedByTest() } }
    #expect(throws: StoppedByTest.self) { _ = try run().run(progress: stopping) { saved = $0 } }
    // Errors are saved every half minute: the run starts over or continues, with the same result.
    #expect(try run().run(continuing: saved) == whole)
    var partial = whole
    partial.probes.removeLast(5)
    partial.entries.removeAll { $0.tensor == "blk.1.attn_q.weight" }
    partial.isComplete = false
    let resumed = try run().run(continuing: partial)
    #expect(Set(resumed.probes.map(\.name)) == Set(whole.probes.map(\.name)))
    for probe in resumed.probes {
      #expect(abs(probe.divergence - whole.probes.first { $0.name == probe.name }!.divergence) < 1e-9)
    }
  }

  @Test func filesComeBackAndForeignOnesAreRefused() throws {
    let directory = try TemporaryDirectory()
    var run = run()
    run.bands = 1
    let table = try run.run()
    try table.write(to: directory.path("a.json"), overwrite: false)
    #expect(try SensitivityTable(path: directory.path("a.json")) == table)
    try table.check(against: model, file: "a.json")
    let other = try DemoCopy()
    try other.replace("\"rms_norm_eps\": ", by: "\"rms_norm_eps\": 1", in: "config.json")
    #expect(throws: SensitivityError.otherModel(file: "a.json", model: table.model)) {
      try table.check(against: try openModel(path: other.path), file: "a.json")
    }
    var twice = table
    twice.entries.append(table.entries[3])
    try twice.write(to: directory.path("twice.json"), overwrite: false)
    #expect(
      throws: SensitivityError.malformed(
        file: "twice.json", reason: "tensor \(table.entries[3].tensor) appears twice")
    ) { try SensitivityTable(path: directory.path("twice.json")) }
    let text = try String(contentsOfFile: directory.path("a.json"), encoding: .utf8)
    try text.replacing(" 768", with: " 512").write(
      toFile: directory.path("wide.json"), atomically: true, encoding: .utf8)
    #expect {
      try SensitivityTable(path: directory.path("wide.json")).check(against: model, file: "wide.json")
    } throws: { error in
      guard case SensitivityError.otherDimensions(_, let tensor, let measured, let stored) = error else { return false }
      return model.tensors.contains { $0.name == tensor } && measured.contains(512) && stored.contains(768)
    }
    for text in ["", "{}", "{\"format\": 1}", "{\"format\": 2}"] {
      try text.write(toFile: directory.path("bad.json"), atomically: true, encoding: .utf8)
      #expect(throws: SensitivityError.self) { try SensitivityTable(path: directory.path("bad.json")) }
    }
  }

  /// A trial of a mix gives the drift of the written file.
  @Test func aTrialEqualsTheWrittenFile() throws {
    let directory = try TemporaryDirectory()
    let mixes = [StockMix.q2_K, .q4_K_M, .q4_K_S].map { $0.types(for: model, hasImportance: false) }
    let drifts = try MixTrials(source: model, importance: nil, options: ForwardOptions()).drifts(
      of: mixes, windows: windows)
    func states(_ source: any ModelSource) throws -> FinalStates {
      try ForwardPass(source: source).run(windows: windows.windows, scored: windows.scored)
    }
    let base = try states(model)
    for (index, types) in mixes.enumerated() {
      let plan = RewritePlan(source: model, types: types, metadata: model.metadata)
      let path = directory.path("\(index).gguf")
      _ = try Rewriter(plan).write(to: path, options: RewriteOptions())
      let written = try Drift.measure(
        base: (name: "base", source: base),
        candidates: [(name: path, source: try states(try GGUFFile(path: path)))], windows: windows, memory: 1 << 28)[0]
      #expect(abs(written.mean - drifts[index].mean) < 1e-4 * written.mean)
    }
  }

  /// The search never returns a mix that is worse than the initial one, and stays within the bytes.
  @Test func searchingDoesNotLose() throws {
    let table = try run().run()
    let budget = 2_000_000
    let menus = TypeMenus(of: model, types: [.q2_K, .q3_K, .q4_K], hasImportance: false)
    func allocate(_ factors: [Double]?) -> [GGMLType]? {
      let choices = table.options(menus, alignment: 32, scale: factors)
      return Allocation(choices, budget: budget).map { allocation in
        zip(choices, allocation.choices).map { $0[$1].type }
      }
    }
    // A start far from the optimum: inverted costs.
    let start = try #require(
      allocate(table.options(menus, alignment: 32).map { 1 / (1e-6 + $0[0].cost) }))
    func bytes(_ types: [GGMLType]) -> Int {
      zip(model.tensors, types).reduce(0) { $0 + ($1.0.shape.bytes(as: $1.1) ?? 0) }
    }
    let trials = try MixTrials(source: model, importance: nil, options: ForwardOptions())
    func search(_ seconds: Double?) throws -> MixSearch.Result {
      let space = SearchSpace(
        tensors: model.tensors, options: table.options(menus, alignment: 32), groups: table.groups(of: model)
      ) {
        allocate($0)
      } spare: {
        budget - bytes($0)
      }
      var search = MixSearch(trials: trials, windows: windows, stepWindows: windows, space: space)
      search.policy.coefficientRounds = 1
      search.policy.exchangeRounds = 1
      search.policy.samples = 1
      search.budget = seconds
      return try search.run(from: start)
    }
    let result = try search(nil)
    #expect(!result.isCutShort && result.trials > 30)
    #expect(try search(nil).types == result.types)
    // Without time it returns the initial mix, and reports that.
    let cut = try search(0)
    #expect(cut.isCutShort && cut.types == start && cut.final == cut.initial)
    #expect(result.final < result.initial)
    #expect(abs(try trials.drifts(of: [result.types], windows: windows)[0].mean - result.final) < 1e-9)
    #expect(bytes(result.types) <= budget)
  }
}
