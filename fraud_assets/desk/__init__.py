"""`fraud desk`: the pages on which investigators read cases and decide them."""
