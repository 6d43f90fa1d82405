//! The reference application of Cofferdam: folders of mixed files become a knowledge base.

mod args;
mod engine;
mod extract;
mod facts;
mod inject;
mod item;
mod keywords;
mod neutral;
mod output;
mod processor;
mod progress;
mod source;
mod summary;
mod sys;

fn main() {}
