#if Server
  internal import CMGLUResources

  /// The page at `/`: a prompt, what the model makes of it, and how fast. It loads nothing else.
  enum TrialPage {
    /// The page; it asks for a key where requests must carry one.
    static func html(needsKey: Bool) -> String {
      String(cString: cmglu_trial_page()).replacing(" {{hidden}}", with: needsKey ? "" : " hidden")
    }
  }
#endif
