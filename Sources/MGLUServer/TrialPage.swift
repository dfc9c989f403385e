#if Server
  internal import CMGLUResources

  /// The page at `/`: a prompt, its continuation and the speed. The page loads no other files.
  enum TrialPage {
    /// The page; it asks for a key where requests must carry one.
    static func html(needsKey: Bool) -> String {
      String(cString: cmglu_trial_page()).replacing(" {{hidden}}", with: needsKey ? "" : " hidden")
    }
  }
#endif
