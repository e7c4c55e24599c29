//! What is known of some integers: bounds of their differences, and what they leave when divided by one modulus.
//!
//! Variable 0 is the number zero, so a bound of a difference to it is a bound of the variable. Bounds are kept closed:
//! each is the tightest that follows from all. What must hold: every assignment of integers that fits what was said is
//! among those that the zone allows; with bounds alone, a zone that is not empty allows one.

/// Index of a variable; [`ZERO`] is none.
pub(super) type Var = usize;

/// The number zero.
pub(super) const ZERO: Var = 0;

/// No bound.
const NONE: i64 = i64::MAX;

/// Constants beyond this are not calculated with.
pub(super) const LARGEST: i64 = 1 << 40;

/// A set of assignments of integers to variables.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Zone {
    size: usize,
    /// At `i * size + j` what the difference of `i` and `j` is at most.
    bounds: Vec<i64>,
    /// What each variable leaves when divided by the modulus, if that is known.
    residues: Vec<Option<u16>>,
    modulus: u16,
}

impl Zone {
    /// Nothing is known of `count` variables.
    pub(super) fn new(count: usize, modulus: u16) -> Self {
        let mut zone = Self { size: 1, bounds: vec![0], residues: vec![Some(0)], modulus };
        (0..count).for_each(|_| _ = zone.push());
        zone
    }

    pub(super) fn modulus(&self) -> u16 {
        self.modulus
    }

    /// Number of variables, zero among them.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// What `a - b` is at most.
    pub(super) fn most(&self, a: Var, b: Var) -> Option<i64> {
        Some(self.bounds[a * self.size + b]).filter(|&bound| bound != NONE)
    }

    /// The value of a variable, if there is only one.
    pub(super) fn exact(&self, a: Var) -> Option<i64> {
        self.most(a, ZERO).filter(|&most| self.most(ZERO, a) == Some(-most))
    }

    pub(super) fn residue(&self, a: Var) -> Option<u16> {
        self.residues[a]
    }

    /// Says that `a - b` is at most `bound`. Whether that leaves anything.
    #[must_use]
    pub(super) fn at_most(&mut self, a: Var, b: Var, bound: i64) -> bool {
        self.tighten(a, b, bound) && self.settle()
    }

    /// Says what a variable leaves when divided by the modulus. Whether that leaves anything.
    #[must_use]
    pub(super) fn leaves(&mut self, a: Var, residue: u16) -> bool {
        match self.residues[a] {
            Some(known) => known == residue,
            None => {
                self.residues[a] = Some(residue);
                self.settle()
            }
        }
    }

    /// Forgets all about a variable.
    pub(super) fn forget(&mut self, a: Var) {
        for other in (0..self.size).filter(|&other| other != a) {
            self.bounds[a * self.size + other] = NONE;
            self.bounds[other * self.size + a] = NONE;
        }
        self.residues[a] = None;
    }

    /// Adds a constant to a variable.
    pub(super) fn shift(&mut self, a: Var, by: i64) {
        for other in (0..self.size).filter(|&other| other != a) {
            for (at, by) in [(a * self.size + other, by), (other * self.size + a, -by)] {
                if self.bounds[at] != NONE {
                    self.bounds[at] = self.bounds[at].saturating_add(by);
                }
            }
        }
        self.residues[a] = self.residues[a].map(|r| self.reduce(i64::from(r).saturating_add(by)));
    }

    /// Adds a variable of which nothing is known.
    pub(super) fn push(&mut self) -> Var {
        let (old, size) = (self.size, self.size + 1);
        let mut bounds = vec![NONE; size * size];
        for a in 0..old {
            bounds[a * size..a * size + old].copy_from_slice(&self.bounds[a * old..(a + 1) * old]);
        }
        bounds[size * size - 1] = 0;
        (self.size, self.bounds) = (size, bounds);
        self.residues.push(None);
        old
    }

    /// Takes the last variable away, after `into`, if given, has become it.
    pub(super) fn pop(&mut self, into: Option<Var>) {
        let (old, last) = (self.size, self.size - 1);
        if let Some(into) = into.filter(|&into| into != last) {
            for other in (0..last).filter(|&other| other != into) {
                self.bounds[into * old + other] = self.bounds[last * old + other];
                self.bounds[other * old + into] = self.bounds[other * old + last];
            }
            self.residues[into] = self.residues[last];
        }
        let mut bounds = Vec::with_capacity(last * last);
        for a in 0..last {
            bounds.extend_from_slice(&self.bounds[a * old..a * old + last]);
        }
        (self.size, self.bounds) = (last, bounds);
        self.residues.pop();
    }

    /// Weakens each bound to the next one of `steps`, which are ascending, so that there are only so many zones.
    pub(super) fn round(&mut self, steps: &[i64]) {
        let size = self.size;
        for (at, bound) in self.bounds.iter_mut().enumerate() {
            if *bound != NONE && at / size != at % size {
                *bound = steps.get(steps.partition_point(|step| step < bound)).copied().unwrap_or(NONE);
            }
        }
        // What follows from weaker bounds is no tighter than before: the zone is not empty.
        for middle in 0..size {
            for a in 0..size {
                for b in 0..size {
                    self.via(a, middle, b);
                }
            }
        }
        _ = self.settle();
    }

    /// Whether every assignment that `other` allows is allowed here.
    pub(super) fn contains(&self, other: &Self) -> bool {
        self.bounds.iter().zip(&other.bounds).all(|(own, theirs)| own >= theirs)
            && self.residues.iter().zip(&other.residues).all(|(own, theirs)| own.is_none() || own == theirs)
    }

    /// What a number leaves when divided by the modulus.
    pub(super) fn reduce(&self, value: i64) -> u16 {
        // Below the modulus, which is a `u16`.
        value.rem_euclid(i64::from(self.modulus)) as u16
    }

    fn tighten(&mut self, a: Var, b: Var, bound: i64) -> bool {
        let size = self.size;
        if a == b {
            return bound >= 0;
        }
        if bound >= self.bounds[a * size + b] {
            return true;
        }
        if self.most(b, a).is_some_and(|back| back.saturating_add(bound) < 0) {
            return false;
        }
        self.bounds[a * size + b] = bound;
        for x in 0..size {
            let Some(to_a) = self.most(x, a) else { continue };
            for y in 0..size {
                if x == y {
                    continue;
                }
                let Some(from_b) = self.most(b, y) else { continue };
                let through = to_a.saturating_add(bound).saturating_add(from_b);
                let known = &mut self.bounds[x * size + y];
                *known = (*known).min(through);
            }
        }
        true
    }

    fn via(&mut self, a: Var, middle: Var, b: Var) {
        if let (Some(first), Some(second)) = (self.most(a, middle), self.most(middle, b))
            && a != b
        {
            let known = &mut self.bounds[a * self.size + b];
            *known = (*known).min(first.saturating_add(second));
        }
    }

    /// Lets residues and bounds tell each other what they know. Whether that leaves anything.
    fn settle(&mut self) -> bool {
        if self.modulus < 2 {
            return true;
        }
        loop {
            let mut changed = false;
            for a in 0..self.size {
                for b in 0..self.size {
                    let Some(most) = self.most(a, b).filter(|_| a != b) else { continue };
                    match (self.residues[a], self.residues[b]) {
                        (Some(x), Some(y)) => {
                            let apart = i64::from(x) - i64::from(y);
                            let slack = i64::from(self.reduce(most.saturating_sub(apart)));
                            if slack > 0 {
                                changed = true;
                                if !self.tighten(a, b, most - slack) {
                                    return false;
                                }
                            }
                        }
                        (None, Some(y)) if self.most(b, a) == Some(-most) => {
                            changed = true;
                            self.residues[a] = Some(self.reduce(i64::from(y).saturating_add(most)));
                        }
                        _ => {}
                    }
                }
            }
            if !changed {
                return true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_is_known() {
        let mut zone = Zone::new(3, 1);
        assert!(zone.at_most(1, 2, -1) && zone.at_most(2, 3, -1));
        assert_eq!(zone.most(1, 3), Some(-2));
        assert!(!zone.clone().at_most(3, 1, 1), "it is at least two more");
        zone.shift(3, 5);
        assert_eq!(zone.most(1, 3), Some(-7));
        zone.forget(2);
        assert_eq!((zone.most(1, 3), zone.most(1, 2)), (Some(-7), None));
    }

    #[test]
    fn residues_and_bounds_agree() {
        let mut zone = Zone::new(2, 2);
        assert!(zone.at_most(1, ZERO, 1) && zone.at_most(ZERO, 1, 0));
        assert!(zone.leaves(1, 1));
        assert_eq!(zone.exact(1), Some(1));
        assert!(zone.at_most(2, 1, 0) && zone.at_most(1, 2, 0));
        assert_eq!(zone.residue(2), Some(1));
        assert!(!zone.leaves(2, 0));
    }

    #[test]
    fn a_variable_becomes_another_and_bounds_are_rounded() {
        let mut zone = Zone::new(2, 4);
        let fresh = zone.push();
        assert!(zone.at_most(fresh, 2, 3) && zone.at_most(2, fresh, -3) && zone.leaves(2, 1));
        zone.pop(Some(1));
        assert_eq!((zone.size(), zone.most(1, 2), zone.residue(1)), (3, Some(3), Some(0)));
        zone.round(&[-2, 2, 8]);
        assert_eq!((zone.most(1, 2), zone.most(2, 1)), (Some(7), Some(-3)), "residues know more than steps");
    }
}
